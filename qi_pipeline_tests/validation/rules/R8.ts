// R8: fromTryCatch or fromAsyncTryCatch rather than try/catch.
import { failure, fromAsyncTryCatch, fromException, map, success, systemError } from "@qi/base";
import type { QiError, Result } from "@qi/base";

declare const r: Result<number>;
declare const release: () => void;
declare const read: () => string;

export const parsed = (text: string): Result<unknown> => {
  try { // expect: R8
    return success(JSON.parse(text));
  } catch (error) {
    return failure(fromException(error));
  }
};
export function declared(): number {
  try { return 1; } catch { return 0; } // expect: R8
}
export const later = async (): Promise<number> => {
  try { return await Promise.resolve(1); } catch (error) { console.error(error); return 0; } // expect: R8
};
export const closed = (): string => {
  try { return read(); } catch { return ""; } finally { release(); } // expect: R8
};
export const nested = (): number => {
  try { // expect: R8
    try { return 1; } finally { release(); }
  } catch { return 0; }
};
export const mapped = map((x: number) => { try { return read(); } catch { return String(x); } }, r); // expect: R8
export const inCallback = fromAsyncTryCatch(async () => { try { return read(); } catch { return ""; } }); // expect: R8
export class Reader {
  read(): string {
    try { return read(); } catch { return ""; } // expect: R8
  }
}
export const typed = (): string => { try { return read(); } catch (error: unknown) { return String(error); } }; // expect: R8
export const inside = () => { const fromTryCatch = () => { try { return 1; } catch { return 0; } }; return fromTryCatch; }; // expect: R8

export const ofFinally = (): string => { try { return read(); } finally { release(); } }; // look-alike
export const ofInnerFinally = map(() => { try { return read(); } finally { release(); } }, r); // look-alike
export const ofPromise = (): Promise<number> => Promise.resolve(1).catch(() => 0); // look-alike
export const ofLibrary = fromAsyncTryCatch(async () => read()); // look-alike
export const ofText = (): QiError => systemError("try { } catch { }"); // look-alike
export const ofMember = { try: 1, catch: 2 }.catch; // look-alike
export const ofMethod = { catch: (f: () => void) => f() }.catch(() => undefined); // look-alike
export const fromTryCatch = <T>(f: () => T): Result<T> => { try { return success(f()); } catch (e) { return failure(fromException(e)); } }; // look-alike
export function tryCatch<T>(f: () => T, other: T): T { try { return f(); } catch { return other; } } // look-alike
export const ofGenerator = function* () { try { yield 1; } finally { release(); } }; // look-alike
