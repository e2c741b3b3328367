import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: {
      "@qi/base": source("./src/base/index.ts"),
      "@qi/core": source("./src/core/index.ts"),
    },
  },
  test: { include: ["tests/**/*.test.ts"] },
});
