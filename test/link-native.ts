// Run by vitest before all: npm takes the links away, and set-up is not always run in between.
export { linkNative as setup } from "../scripts/build/link-native.mjs";
