/** Steps that follow each other, some of them asynchronous. */

import {
  businessError,
  failure,
  flatMapAsync,
  flatMapPromise,
  fromMaybe,
  inspectErr,
  mapAsync,
  mapError,
  mapPromise,
  matchAsync,
  matchPromise,
  orElse,
  type QiError,
  type Result,
  success,
  validationError,
  withContext,
} from "@qi/base";

/** A user as the directory keeps it. */
export interface User {
  readonly id: string;
  readonly name: string;
  readonly email: string;
}

/** Where users are looked up. */
export interface Directory {
  readonly find: (id: string) => Promise<User | undefined>;
  readonly save: (user: User) => Promise<Result<User>>;
}

/** Finds a user in a directory and fails when there is none. */
export const findUser = async (directory: Directory, id: string): Promise<Result<User>> =>
  fromMaybe(await directory.find(id), businessError(`No user ${id}`, { id }));

/** Looks up the name of a user. */
export const userName = (directory: Directory, id: string): Promise<Result<string>> =>
  mapPromise((user) => user.name, findUser(directory, id));

/** Validates an id and then looks the user up. */
export const findChecked = (directory: Directory, id: string): Promise<Result<User>> =>
  flatMapAsync(
    (checked: string) => findUser(directory, checked),
    id === "" ? failure(validationError("Id is empty")) : success(id),
  );

/** Renames a user and saves the change. */
export const rename = (directory: Directory, id: string, name: string): Promise<Result<User>> =>
  flatMapPromise((user) => directory.save({ ...user, name }), findUser(directory, id));

/** Rejects users whose email lies outside a domain. */
export const inDomain = (domain: string, user: Promise<Result<User>>): Promise<Result<User>> =>
  flatMapPromise(
    (found): Result<User> =>
      found.email.endsWith(`@${domain}`)
        ? success(found)
        : failure(businessError("Foreign address", { id: found.id })),
    user,
  );

/** Applies an asynchronous translation to the text in a result. */
export const translated = (
  translate: (text: string) => Promise<string>,
  text: Result<string>,
): Promise<Result<string>> => mapAsync(translate, text);

/** Computes the checksum of the bytes in a result without blocking. */
export const checksum = (bytes: Result<Uint8Array>): Promise<Result<number>> =>
  mapAsync(async (data) => data.reduce((sum, byte) => (sum + byte) % 65521, 0), bytes);

/** Sends a value to one channel and an error to another. */
export const dispatch = (
  deliver: (text: string) => Promise<string>,
  complain: (error: QiError) => Promise<string>,
  message: Result<string>,
): Promise<string> => matchAsync(deliver, complain, message);

/** Greets a user by name or explains why that is not possible. */
export const greeting = (directory: Directory, id: string): Promise<string> =>
  matchPromise(
    async (user) => `Hello ${user.name}`,
    async (error) => `Hello stranger (${error.message})`,
    findUser(directory, id),
  );

/** Answers a request with the status that fits its outcome. */
export const answer = (
  work: Promise<Result<unknown>>,
): Promise<{ status: number; body: unknown }> =>
  matchPromise<unknown, QiError, { status: number; body: unknown }>(
    async (body) => ({ status: 200, body }),
    async (error) => ({ status: 422, body: error.message }),
    work,
  );

/** Adds the name of a stage to the error of an asynchronous step. */
export const stage = async <T>(name: string, work: Promise<Result<T>>): Promise<Result<T>> =>
  mapError((error) => withContext({ stage: name }, error), await work);

/** Shows the error of an asynchronous step to an observer and passes the result on. */
export const observed = async <T>(
  observe: (error: QiError) => void,
  work: Promise<Result<T>>,
): Promise<Result<T>> => inspectErr(observe, await work);

/** Replaces the failure of an asynchronous step by a default. */
export const orDefault = async <T>(fallback: T, work: Promise<Result<T>>): Promise<Result<T>> =>
  orElse(() => success(fallback), await work);

/** Asks a mirror when the main server fails. */
export const fromMirror = async <T>(
  main: () => Promise<Result<T>>,
  mirror: () => Promise<Result<T>>,
): Promise<Result<T>> =>
  matchPromise<T, QiError, Result<T>>(
    async (value) => success(value),
    () => mirror(),
    main(),
  );

/** Runs asynchronous steps one after the other, each fed by the one before. */
export const inTurn = <T>(
  steps: readonly ((value: T) => Promise<Result<T>>)[],
  start: T,
): Promise<Result<T>> =>
  steps.reduce<Promise<Result<T>>>(
    (work, step) => flatMapPromise(step, work),
    Promise.resolve(success(start)),
  );
