/** What is to be done when the present turn of the event loop is over. */
const tasks: (() => void)[] = [];

/**
 * Runs a task when the present turn of the event loop is over: after all that has arrived was read, and together with all
 * others that were put off meanwhile, also by these.
 */
export function atTurnEnd(task: () => void): void {
  if (tasks.push(task) === 1) setImmediate(runAll);
}

function runAll(): void {
  let done = 0;
  try {
    for (const task of tasks) {
      done++;
      task();
    }
  } finally {
    tasks.splice(0, done);
    if (tasks.length > 0) setImmediate(runAll); // One has thrown; the others are not to pay for it.
  }
}
