/**
 * One thing that passes or fails; it throws if it fails.
 *
 * @typedef {{ name: string, run: () => Promise<void> | void }} Step
 */

/**
 * Runs every step, also after one has failed, and lists them at the end.
 *
 * @param {readonly Step[]} steps
 * @returns {Promise<boolean>} Whether all passed.
 */
export async function runSteps(steps) {
  const lines = [];
  let passed = true;
  for (const { name, run } of steps) {
    console.log(`\n── ${name}`);
    const start = performance.now();
    let failure;
    try {
      await run();
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
      console.log(failure);
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(7);
    lines.push(`${failure === undefined ? "pass" : "FAIL"} ${seconds} s  ${name}`);
    passed &&= failure === undefined;
  }
  console.log(`\n${lines.join("\n")}`);
  return passed;
}
