import type { KeyInfo, Scope } from "../management/api-keys.js";
import { columns, type Output } from "./output.js";

/** What `keys create` is told. */
export interface NewKey {
  account: string;
  /** Of the account, which is made if it is new; a key puts none on another. */
  tier?: string;
  scopes: Scope[];
  /** For people. */
  name?: string;
  /** ISO 8601. */
  expires?: string;
  environment: string;
}

/** Where keys are managed: a running service, or what it stores while it is stopped. */
export interface KeyStore {
  create(key: NewKey): Promise<KeyInfo & { key: string }>;
  list(account?: string): Promise<KeyInfo[]>;
  revoke(id: string): Promise<KeyInfo>;
}

/** Makes a key; the key alone goes to the first stream, so that it can be piped. */
export async function createKey(store: KeyStore, key: NewKey, json: boolean, output: Output): Promise<void> {
  const made = await store.create(key);
  if (json) return output.print(JSON.stringify(made, undefined, 2));
  output.note(`key ${made.id} of account ${made.account}, for ${made.scopes.join(", ")}; shown only now:`);
  output.print(made.key);
}

export async function listKeys(
  store: KeyStore,
  account: string | undefined,
  json: boolean,
  output: Output,
): Promise<void> {
  const keys = await store.list(account);
  if (json) return output.print(JSON.stringify(keys, undefined, 2));
  const rows = keys.map(({ id, account, scopes, created, ...key }) => {
    const { expires, lastUsed, revoked, name } = key;
    return [id, account, scopes.join(","), created, expires ?? "-", lastUsed ?? "-", revoked ?? "-", name ?? "-"];
  });
  const head = ["ID", "ACCOUNT", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED", "NAME"];
  for (const line of columns([head, ...rows])) output.print(line);
}

export async function revokeKey(store: KeyStore, id: string, json: boolean, output: Output): Promise<void> {
  const key = await store.revoke(id);
  output.print(json ? JSON.stringify(key, undefined, 2) : `revoked ${key.id} of account ${key.account}`);
}
