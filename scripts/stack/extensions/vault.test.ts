import type postgres from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createScratchDatabase, type ScratchDatabase } from "./testing/scratch-database.ts";

// The stand-in of Vault on a database of its own.

let database: ScratchDatabase;
let admin: postgres.Sql;
let sql: postgres.Sql;

beforeAll(async () => {
  database = await createScratchDatabase();
  admin = database.logIn("supabase_admin");
  sql = database.logIn("postgres");
});

afterEach(() => sql`delete from vault.secrets where true`);

afterAll(() => database.drop());

async function create(secret: string, name: string | null = null): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select vault.create_secret(${secret}, ${name}) as id`;
  return row?.id ?? "";
}

async function decrypted(id: string): Promise<string | undefined> {
  const [row] = await sql<{ secret: string }[]>`
    select decrypted_secret as secret from vault.decrypted_secrets where id = ${id}
  `;
  return row?.secret;
}

/** The SQLSTATE with which a role's statement is refused. */
async function refusal(role: string, statement: string): Promise<unknown> {
  return admin
    .begin(async (tx) => {
      await tx`set local role ${tx(role)}`;
      await tx.unsafe(statement);
    })
    .then(
      () => "accepted",
      (error: { code?: string }) => error.code,
    );
}

describe("a secret", () => {
  it.each(["s3cret", "", "🔑 ключ", "x".repeat(10_000)])(
    "comes back as it was stored: %s",
    async (secret) => {
      expect(await decrypted(await create(secret))).toBe(secret);
    },
  );

  it("is not on disk, and two equal ones look different", async () => {
    await create("same", "one");
    await create("same", "two");
    const rows = await admin<{ secret: string }[]>`select secret from vault.secrets`;
    expect(new Set(rows.map((row) => row.secret)).size).toBe(2);
    for (const { secret } of rows) {
      expect(Buffer.from(secret, "base64").toString("latin1")).not.toContain("same");
    }
  });

  it("has a name that no other has, unless it has none", async () => {
    await create("a", "name");
    await create("a");
    await create("a");
    await expect(create("b", "name")).rejects.toMatchObject({ code: "23505" });
  });

  it("is changed in what is given only, and not at all when it is unknown", async () => {
    const id = await create("old", "name");
    await sql`select vault.update_secret(${id}, 'new', new_description := 'why')`;
    await sql`select vault.update_secret(${id}, new_name := 'other')`;
    await sql`select vault.update_secret(gen_random_uuid(), 'x')`;
    const rows = await sql`select name, description, decrypted_secret as secret from vault.decrypted_secrets`;
    expect([...rows]).toEqual([{ name: "other", description: "why", secret: "new" }]);
  });

  it("is refused when a byte of it, its id or its nonce was changed", async () => {
    const id = await create("secret");
    const tampering = [
      admin`update vault.secrets set id = gen_random_uuid()`,
      admin`update vault.secrets set nonce = '\\x00'`,
      admin`
        update vault.secrets
        set secret = encode(set_byte(decode(secret, 'base64'), 40, get_byte(decode(secret, 'base64'), 40) # 1), 'base64')
      `,
      admin`update vault.secrets set secret = encode('\\x00', 'base64')`,
    ];
    for (const change of tampering) {
      const [before] = await admin`select id, secret, nonce from vault.secrets`;
      await change;
      await expect(sql`select decrypted_secret from vault.decrypted_secrets`).rejects.toMatchObject({
        code: "22000",
      });
      await admin`update vault.secrets set ${admin(before ?? {})}`;
    }
    expect(await decrypted(id)).toBe("secret");
  });
});

describe("the rights in schema vault", () => {
  it("let postgres and service_role read, delete and call, and write in no other way", async () => {
    await create("secret", "name");
    for (const role of ["postgres", "service_role"]) {
      const codes = [
        await refusal(role, "select decrypted_secret from vault.decrypted_secrets"),
        await refusal(role, "select vault.update_secret(gen_random_uuid(), 'x')"),
        await refusal(role, "delete from vault.decrypted_secrets where false"),
        await refusal(role, "insert into vault.secrets (secret) values ('x')"),
        await refusal(role, "update vault.secrets set name = 'x' where true"),
        await refusal(role, "select vault._crypto_aead_det_encrypt('x', 'x', 0)"),
      ];
      expect({ role, codes }).toEqual({
        role,
        codes: ["accepted", "accepted", "accepted", "42501", "42501", "42501"],
      });
    }
  });

  it("are nobody else's", async () => {
    for (const role of ["anon", "authenticated", "authenticator", "supabase_auth_admin"]) {
      expect(await refusal(role, "select from vault.secrets")).toBe("42501");
      expect(await refusal(role, "select stand_in.decrypt_vault_message('x', 'x', 0, 'x', 'x')")).toBe(
        "42501",
      );
    }
  });

  it("keep the root key from postgres, which reads all tables", async () => {
    for (const statement of [
      "select pg_read_file('stand_in_vault.key')",
      "select pg_read_binary_file('stand_in_vault.key')",
      "select stand_in.derive_vault_key('encrypt', 0, 'pgsodium')",
      "select stand_in.sign_vault_message('x', 'x', 0, 'pgsodium', null)",
      "copy (select 1) to program 'cat stand_in_vault.key'",
    ]) {
      expect(await refusal("postgres", statement)).toBe("42501");
    }
  });
});

describe("deterministic encryption", () => {
  it("gives the same text for the same arguments only", async () => {
    const [row] = await admin<{ same: boolean; others: number; plain: string }[]>`
      select
        vault._crypto_aead_det_encrypt('a', 'b', 1) = vault._crypto_aead_det_encrypt('a', 'b', 1) as same,
        count(distinct text.encrypted)::integer as others,
        convert_from(
          vault._crypto_aead_det_decrypt(vault._crypto_aead_det_encrypt('a', 'b', 1, 'c', 'd'), 'b', 1, 'c', 'd'),
          'UTF8'
        ) as plain
      from (
        values
          (vault._crypto_aead_det_encrypt('a', 'b', 1)),
          (vault._crypto_aead_det_encrypt('a', 'b', 2)),
          (vault._crypto_aead_det_encrypt('a', 'bb', 1)),
          (vault._crypto_aead_det_encrypt('a', 'b', 1, 'other')),
          (vault._crypto_aead_det_encrypt('a', 'b', 1, nonce => 'n'))
      ) as text (encrypted)
    `;
    expect(row).toEqual({ same: true, others: 5, plain: "a" });
  });

  it("needs the same key number to decrypt", async () => {
    await expect(
      admin`select vault._crypto_aead_det_decrypt(vault._crypto_aead_det_encrypt('a', 'b', 1), 'b', 2)`,
    ).rejects.toMatchObject({ code: "22000" });
  });
});
