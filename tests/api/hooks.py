"""What OpenAPI cannot say about parameters and bodies, for Schemathesis.

A request that is meant to be sound is made sound here; one that is meant to be refused stays as it
is, and whatever comes of it must still be an answer that the description has.
"""

import schemathesis

ZONES = ("UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")


def is_sound(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def mend_body(body):
    # They are three names of the same.
    for name in [name for name in ("input", "prompt", "text") if name in body][1:]:
        del body[name]
    # Its bound is in bytes.
    if isinstance(body.get("model"), str):
        body["model"] = body["model"].encode()[:256].decode(errors="ignore")


def mend_query(query):
    if "tz" in query:
        # Not every text is the name of a zone.
        query["tz"] = ZONES[len(str(query["tz"])) % len(ZONES)]
    if "from" in query or "to" in query:
        # Both or none, in order, and not beside a named range.
        start = 1_700_000_000 + len(str(query)) * 86_400
        query["from"], query["to"] = str(start), str(start + 3_600)
        query.pop("timeRange", None)


def is_sent_empty(value):
    # A list is sent as its items; one with a single empty item is no other request.
    return value in ("", [], [""], [None])


def mend_usage(query):
    given = query.get("group_by") or []
    groups = given if isinstance(given, list) else str(given).split(",")
    full = ("upstream", "endpoint", "status", "outcome")
    is_full = any(name in groups or name in query for name in full)
    if is_full:
        # Rows of consumers have none of them.
        groups = [name for name in groups if name != "consumer"]
        query.pop("consumer", None)
    if groups:
        query["group_by"] = groups if isinstance(given, list) else ",".join(groups)
    else:
        query.pop("group_by", None)
    if set(groups) & {"hour", "day", "month"} or query.get("timeRange") == "all":
        query.pop("compare", None)
    if groups and not set(groups) - {"status", "outcome", "hour", "day", "month"}:
        # There is no name to search in.
        query.pop("search", None)
    if "order" in query:
        # Not every text is a number of the items.
        query["order"] = ("requests", "-input", "-tokens")[len(str(query["order"])) % 3]


def mend_letters(letters):
    # For JSON Schema 7.0 is a whole number, too.
    for letter in letters:
        for name, value in letter.items():
            if isinstance(value, float):
                letter[name] = int(value)


@schemathesis.hook
def filter_case(context, case):
    query = case.query or {}
    # An object is sent as its entries, by their own names: without any, as an empty text.
    if any(isinstance(value, dict) for value in query.values()):
        return False
    # Forms send these empty; that is the same as leaving them out, and no schema says so.
    return not any(is_sent_empty(query.get(name)) for name in ("keyword", "status", "page", "size"))


@schemathesis.hook
def map_case(context, case):
    if is_sound(case) and case.query:
        mend_query(case.query)
    if is_sound(case) and case.query and case.path.startswith("/api/usage"):
        mend_usage(case.query)
    if is_sound(case) and case.path == "/api/tokens/count" and isinstance(case.body, dict):
        mend_body(case.body)
    if is_sound(case) and case.path == "/api/dead-letters/replay" and isinstance(case.body, dict):
        mend_letters(case.body["letters"])
    return case
