// Makes what tests and answer share unchangeable, as --frozen-intrinsics makes the language's own
// objects: functions of Node and of the library, what hangs on them, and the prototypes of classes.
//
// Instances stay as they are, and may be given an own property of a locked name: a prototype's
// properties become accessors whose setter defines on the instance (what Object.freeze forbids).
// Figures and objects that a function or a class keeps stay its own to change.
"use strict";

const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, preventExtensions } = Object;
const { ownKeys } = Reflect;

const isFunction = (value) => typeof value === "function";
const isObject = (value) => typeof value === "object" && value !== null;

function isPlain(value) {
  const prototype = getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

class Locks {
  #seen = new Set([Object.prototype, Function.prototype]);
  #pending = [];
  #open;
  #follows;

  // open: names of properties of prototypes that stay as they are. follows: whether functions that
  // locked ones hold or inherit from are locked too, wherever they come from.
  constructor(open, { follows }) {
    this.#open = open;
    this.#follows = follows;
  }

  // A function or class, and the prototype of what it makes.
  addFunction(value) {
    this.#add(value, this.#lockFunction);
  }

  // An object that functions are taken from: a module's exports, a namespace.
  addHolder(value) {
    this.#add(value, this.#lockHolder);
  }

  // The functions that are an object's own data; nothing is read through a getter.
  lockMethods(value) {
    for (const name of ownKeys(value)) {
      const property = getOwnPropertyDescriptor(value, name);
      if (isFunction(property.value)) this.#lockFixed(value, name, property);
    }
    this.#follow(getPrototypeOf(value));
  }

  // Lock everything that was added, and what leads on from there.
  close() {
    while (this.#pending.length > 0) {
      const { value, lock } = this.#pending.pop();
      lock.call(this, value);
    }
  }

  #add(value, lock) {
    if (value === null || this.#seen.has(value)) return;
    this.#seen.add(value);
    this.#pending.push({ value, lock });
  }

  #follow(value) {
    if (!this.#follows) return;
    if (isFunction(value)) this.#add(value, this.#lockFunction);
    else if (isObject(value)) this.#add(value, this.#lockPrototype);
  }

  #lockFixed(owner, name, property) {
    if (property.configurable) {
      const fixed = "value" in property ? { writable: false } : {};
      defineProperty(owner, name, { ...fixed, configurable: false });
    } else if (property.writable) {
      defineProperty(owner, name, { writable: false });
    }
    if (isFunction(property.value)) this.#follow(property.value);
  }

  #lockFunction(value) {
    for (const name of ownKeys(value)) {
      const property = getOwnPropertyDescriptor(value, name);
      if (name === "prototype" && isObject(property.value)) {
        this.#add(property.value, this.#lockPrototype);
        this.#lockFixed(value, name, property);
      } else if (isFunction(property.value) || !("value" in property)) {
        this.#lockFixed(value, name, property);
      }
    }
    this.#follow(getPrototypeOf(value));
  }

  #lockPrototype(value) {
    for (const name of ownKeys(value)) {
      const property = getOwnPropertyDescriptor(value, name);
      if (this.#open.has(name)) continue;
      if (property.configurable && "value" in property) {
        this.#lockInherited(value, name, property);
      } else if (isFunction(property.value) || !("value" in property)) {
        this.#lockFixed(value, name, property);
      }
    }
    preventExtensions(value);
    this.#follow(getPrototypeOf(value));
  }

  #lockInherited(prototype, name, { value, enumerable }) {
    defineProperty(prototype, name, {
      get: () => value,
      set(given) {
        if (this === prototype) throw new TypeError(`${String(name)} is shared and cannot be set`);
        const own = { value: given, writable: true, enumerable: true, configurable: true };
        defineProperty(this, name, own);
      },
      enumerable,
      configurable: false,
    });
    if (isFunction(value)) this.#follow(value);
  }

  #lockHolder(value) {
    if (isFunction(value)) this.#lockFunction(value);
    for (const name of ownKeys(value)) {
      if (isFunction(value) && name === "prototype") continue;
      let held;
      try {
        // A getter may put what it loads in its own place.
        held = value[name];
      } catch {
        // What is not there on this machine is for nobody to change.
      }
      const property = getOwnPropertyDescriptor(value, name);
      if (isFunction(held) || !("value" in property)) this.#lockFixed(value, name, property);
      if (isFunction(held)) this.#follow(held);
      else if (isObject(held) && isPlain(held)) this.addHolder(held);
      else if (isObject(held)) this.#follow(getPrototypeOf(held));
    }
  }
}

module.exports = { Locks };
