import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: {
      "@qi/base": source("./lib/base/src/index.ts"),
      "@qi/core": source("./lib/core/src/index.ts"),
    },
  },
  test: { include: ["lib/tests/**/*.test.ts"] },
});
