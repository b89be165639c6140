import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

async function freshLoad() {
  const { loadBinding } = await import("../../../src/engine/binding.js");
  return loadBinding();
}

function reportLibc(header: { glibcVersionRuntime?: string }) {
  return vi.spyOn(process.report, "getReport").mockReturnValue({ header });
}

describe("loadBinding", () => {
  beforeEach(() => vi.resetModules());
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("finds the binary of this checkout", async () => {
    expect(await freshLoad()).toEqual({ binding: expect.anything() });
  });

  it("looks only once", async () => {
    const getReport = reportLibc({});
    const { loadBinding } = await import("../../../src/engine/binding.js");
    expect(loadBinding()).toBe(loadBinding());
    expect(getReport).toHaveBeenCalledOnce();
  });

  it("glibc binary copied to musl: asks for the musl package on musl, even where the glibc binary lies", async () => {
    vi.spyOn(process, "platform", "get").mockReturnValue("linux");
    vi.spyOn(process, "arch", "get").mockReturnValue("x64");
    reportLibc({});
    expect(await freshLoad()).toEqual({
      reason:
        "the native binary for linux-x64-musl can't be loaded: @tollkeeper/native-linux-x64-musl is not installed",
    });
  });

  it.each([
    ["darwin", "arm64", "darwin-arm64"],
    ["win32", "x64", "win32-x64-msvc"],
    ["freebsd", "x64", "freebsd-x64"],
  ] as const)("names %s %s as %s", async (platform, arch, name) => {
    vi.spyOn(process, "platform", "get").mockReturnValue(platform);
    vi.spyOn(process, "arch", "get").mockReturnValue(arch);
    expect((await freshLoad()).reason).toMatch(
      new RegExp(`for ${name} can't be loaded: (@tollkeeper/native-${name} is not installed|there is none)$`),
    );
  });

  it("leaves the settings of the user's diagnostic reports as they were", async () => {
    const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean };
    const { excludeNetwork } = report;
    await freshLoad();
    expect(report.excludeNetwork).toBe(excludeNetwork);
  });
});
