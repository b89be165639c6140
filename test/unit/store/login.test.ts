import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Login } from "../../../src/store/login.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const own = () => ({ username: "app", password: "old" });

describe("the user and password of a connection", () => {
  it("are those of the URL or client where no others are given, as they are at the time", async () => {
    let password: string | null = "old";
    const login = new Login(() => ({ username: null, password }), undefined);
    expect(login.present).toEqual({ password: "old" });
    password = "new";
    await login.renew();
    expect(login.present).toEqual({ password: "new" });
    password = null;
    expect(login.present).toEqual({});
  });

  it.each([
    ["with a user", { username: "u", password: "p" }, { username: "u", password: "p" }],
    ["without", { password: "p" }, { username: "app", password: "p" }],
  ])("are given %s, at once or later", async (_what, given, present) => {
    for (const credentials of [() => given, async () => given]) {
      const login = new Login(own, credentials);
      await login.renew();
      expect(login.present).toEqual(present);
    }
  });

  it.each([
    ["throws", () => Promise.reject(new Error("no token")), "no token"],
    [
      "throws at once",
      () => {
        throw new Error("no token");
      },
      "no token",
    ],
    ["throws no error", () => Promise.reject("why"), "why"],
    ["gives nothing", () => undefined as never, "they are of type undefined"],
    ["gives a user that is none", () => ({ username: 7 as never, password: "p" }), "a username of type number"],
    ["gives no password", () => ({}) as never, "a password of type undefined"],
  ])("whoever %s is told, keeps what was, and is asked again", async (_what, credentials, why) => {
    const asked = vi.fn<() => { password: string } | Promise<{ password: string }>>(credentials);
    const login = new Login(own, asked);
    await expect(login.renew()).rejects.toMatchObject({
      code: "ERR_STORE_REFUSED",
      message: expect.stringContaining(`there is no password for Redis: `),
    });
    await expect(login.renew()).rejects.toThrow(why);
    expect(login.present).toEqual(own());
    asked.mockReturnValue({ password: "at last" });
    await login.renew();
    expect(login.present.password).toBe("at last");
  });

  it("are not waited for without an end, and what comes late is let go", async () => {
    const answers: ((given: { password: string }) => void)[] = [];
    const login = new Login(own, () => new Promise((resolve) => answers.push(resolve)));
    const asked = login.renew();
    const refused = expect(asked).rejects.toThrow("storage.credentials gave none within 5000 ms");
    await vi.advanceTimersByTimeAsync(5000);
    await refused;
    answers[0]?.({ password: "late" });
    const again = login.renew();
    answers[1]?.({ password: "in time" });
    await again;
    expect(login.present.password).toBe("in time");
  });

  it("are read by a node whenever it needs them, and asked anew for the next time", async () => {
    let password = "first";
    const login = new Login(own, () => ({ password }));
    await login.renew();
    const node = { host: "h", username: "its own", password: "its own" };
    const told: unknown[] = [];
    login.leadInto(node, (error) => told.push(error));
    password = "second";
    expect({ ...node }).toEqual({ host: "h", username: "app", password: "first" });
    await vi.advanceTimersByTimeAsync(0);
    expect(node.password).toBe("second");
    await vi.advanceTimersByTimeAsync(0);
    password = undefined as never;
    expect(node.password).toBe("second");
    await vi.advanceTimersByTimeAsync(0);
    expect(told).toEqual([expect.objectContaining({ code: "ERR_STORE_REFUSED" })]);
  });

  it("stay a node's own where there are no others", () => {
    const node = { password: "its own" };
    new Login(() => ({}), undefined).leadInto(node, () => undefined);
    expect({ ...node }).toEqual({ username: undefined, password: "its own" });
  });
});
