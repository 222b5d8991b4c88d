import { expect, test } from "vitest";
import { appClient, lastMailTo, localAuth, newEmail, testDatabase } from "./auth-test-kit.ts";

const sql = testDatabase();

function parts(response: Response): { target: string; fragment: URLSearchParams } {
  expect(response.status).toBe(303);
  const [target = "", fragment = ""] = (response.headers.get("location") ?? "").split("#");
  return { target, fragment: new URLSearchParams(fragment) };
}

test("the link of the mail confirms and brings the session to the application", async () => {
  const email = newEmail("link");
  await appClient().auth.signUp({
    email,
    password: "correct horse",
    options: { emailRedirectTo: "http://127.0.0.1:3000/welcome" },
  });
  const { link } = await lastMailTo(email);
  const { target, fragment } = parts(await fetch(link, { redirect: "manual" }));
  expect(target).toBe("http://127.0.0.1:3000/welcome");
  expect(Object.fromEntries(fragment)).toMatchObject({
    token_type: "bearer",
    expires_in: "3600",
    type: "signup",
  });
  const { data } = await appClient().auth.getUser(fragment.get("access_token") ?? "");
  expect(data.user?.email).toBe(email);

  const again = parts(await fetch(link, { redirect: "manual" }));
  expect(Object.fromEntries(again.fragment)).toMatchObject({
    error: "access_denied",
    error_code: "otp_expired",
    error_description: "Email link is invalid or has expired",
  });
});

test("a link leads to allowed places only", async () => {
  const local = await localAuth(sql, { siteUrl: "https://school.example", redirectUrls: ["myapp://open"] });
  const landing = async (redirectTo: string) => {
    const query = new URLSearchParams({ token: "x", type: "signup", redirect_to: redirectTo });
    return parts(await local.fetch(`/verify?${query}`)).target;
  };
  expect(await landing("https://school.example/welcome")).toBe("https://school.example/welcome");
  expect(await landing("myapp://open")).toBe("myapp://open");
  for (const elsewhere of [
    "https://evil.example",
    "javascript:alert(1)",
    "//evil.example",
    "",
    "myapp://close",
  ]) {
    expect(await landing(elsewhere), elsewhere).toBe("https://school.example");
  }
});

test("links without a type, without a token or of an unknown type are refused", async () => {
  const local = await localAuth(sql);
  expect((await local.fetch("/verify?token=x")).status).toBe(400);
  expect((await local.fetch("/verify?type=signup")).status).toBe(400);
  const { fragment } = parts(await local.fetch("/verify?type=toString&token=x"));
  expect(fragment.get("error_code")).toBe("validation_failed");
});
