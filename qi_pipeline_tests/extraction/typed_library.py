"""A planted library whose classes and interfaces have members to call."""

BASE = """
export type Result<T, E = QiError> = { tag: "success"; value: T } | { tag: "failure"; error: E };
export interface QiError { code: string; message: string }
export const success = <T>(value: T): Result<T, never> => ({ tag: "success", value });
export const map = <T, U, E>(fn: (value: T) => U, r: Result<T, E>): Result<U, E> =>
  r.tag === "success" ? success(fn(r.value)) : r;
export const match = <T, E, R>(ok: (value: T) => R, err: (error: E) => R, r: Result<T, E>): R =>
  r.tag === "success" ? ok(r.value) : err(r.error);
export async function matchAsync<T, E, R>(
  ok: (value: T) => Promise<R>, err: (error: E) => Promise<R>, r: Promise<Result<T, E>>,
): Promise<R> {
  return match(ok, err, await r);
}
export const unwrapOr = <T, E>(fallback: T, r: Result<T, E>): T =>
  r.tag === "success" ? r.value : fallback;
"""

CORE = """
import { EventEmitter } from "eventemitter3";
import { success, type Result } from "@qi/base";
export interface LoggerConfig { level: string; onWrite?: (line: string) => void }
export class Logger extends EventEmitter {
  readonly parent: Logger | null = null;
  constructor(private readonly config: LoggerConfig) { super(); }
  info(message: string, context?: object): void { this.write(message); }
  error(message: string): void { this.info(message); }
  child(context: object): Logger { return new Logger(this.config); }
  private write(line: string): void { this.config.onWrite?.(line); }
}
export interface ICache { get(key: string): Promise<Result<string>>; has(key: string): boolean }
abstract class BaseCache { clear(): void {} size(): number { return 0; } }
export class MemoryCache extends BaseCache implements ICache {
  private readonly data = new Map<string, string>();
  async get(key: string): Promise<Result<string>> { return success(this.data.get(key) ?? ""); }
  has(key: string): boolean { return this.data.has(key); }
  size(): number { return this.data.size; }
  each(fn: (logger: Logger, key: string) => void): this { return this; }
}
export class RedisCache extends MemoryCache { close(): void {} }
export class Config { get<T>(key: string): T | undefined { return undefined; } }
export class ConfigBuilder {
  static fromObject(data: object): ConfigBuilder { return new ConfigBuilder(); }
  static async fromFile(path: string): Promise<Result<ConfigBuilder>> {
    return success(new ConfigBuilder());
  }
  merge(other: ConfigBuilder): ConfigBuilder { return this; }
  set(key: string): this { return this; }
  get logger(): Logger { return new Logger({ level: "" }); }
  build(): Result<Config> { return success(new Config()); }
}
export interface Box<T> { readonly content: T; open(): T }
export type Target = Logger;
export const createLogger = (config: LoggerConfig): Result<Logger> => success(new Logger(config));
export const createCache = async (): Promise<Result<ICache>> => success(new MemoryCache());
export function createMemoryCache(): MemoryCache { return new MemoryCache(); }
export const shared = createMemoryCache();
"""

TYPED_LIBRARY: dict[str, str] = {
    "lib/base/src/index.ts": 'export * from "./result.js";\n',
    "lib/base/src/result.ts": BASE,
    "lib/core/src/index.ts": """
export { Logger, Config, ConfigBuilder, MemoryCache, RedisCache, createLogger } from "./core.js";
export { createCache, createMemoryCache, shared } from "./core.js";
export type { LoggerConfig, ICache, Box, Target } from "./core.js";
""",
    "lib/core/src/core.ts": CORE,
}
