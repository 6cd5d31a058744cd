// The processes that scripts/page-test.sh has started, by what is in them.

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") {
    throw new Error(`${name} is not set: start the walk with scripts/page-test.sh`);
  }
  return value;
}

/** Real traces, late and future events, and names that are markup; no key is asked for. */
export const main = () => given("PAGE_TEST_MAIN");
/** Rows over a change of clocks, and names that no gateway could have sent. */
export const odd = () => given("PAGE_TEST_ODD");
/** Asks for a key. */
export const keyed = () => given("PAGE_TEST_KEYED");
export const key = () => given("PAGE_TEST_KEY");
/** When the clocks of a zone changed: the rows of `odd` are those of three days on either side. */
export const change = () => ({
  zone: given("PAGE_TEST_ZONE"),
  seconds: Number(given("PAGE_TEST_CHANGE_S")),
});
