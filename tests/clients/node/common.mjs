// What both scripts need: the server's address, a line to the test that runs them, and a wait for a blocked client.

import { createInterface } from "node:readline";

export const host = process.argv[2];
export const port = Number(process.argv[3]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the server restarted. */
export async function restart() {
  console.log("restart");
  await lines.next();
}

export function done() {
  console.log("all is well");
  process.exit(0);
}

/** Until `info` tells of a blocked client. */
export async function untilBlocked(info) {
  while (/blocked_clients:0\r/.test(await info())) await new Promise((again) => setTimeout(again, 10));
}

/** What it is refused with. */
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it was not refused");
}
