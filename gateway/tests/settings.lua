-- Tests of the settings file, of namespaces and of who belongs to which.
-- It must never let a key appear in a message.
local check = require("check")
local cjson = require("cjson.safe")
local config = require("gatemeter.config")
local namespace = require("gatemeter.namespace")
local system = require("gatemeter.system")

local tests = {}

local function read(text)
  return config.read(text, cjson.decode, function(key) return "hash of " .. key end, cjson.null)
end

local function check_error(text, expected)
  local settings, err = read(text)
  check.equal(settings, nil, text)
  assert(err:find(expected, 1, true), ("%s: %s does not say %s"):format(text, err, expected))
end

function tests.an_empty_object_has_every_default()
  local settings = assert(read("{}"))
  check.equal(settings["batch.events_max"], 500)
  check.equal(settings.trust_header, true)
  check.equal(settings.keys, {})
  check.equal(assert(read('{"gateway":null}')).gateway, "gateway")
end

function tests.errors_name_field_and_place()
  check_error('{\n "batch": {\n  "events_max": "x"\n }\n}', "batch.events_max (line 3): must be")
  check_error('{"batch":{"events_max":2001}}', "from 1 to 2000")
  check_error('{"bach":{}}', "bach (line 1): is not a setting")
  check_error('{"batch":{"evnts":1}}', "batch.evnts (line 1): is not a setting")
  check_error('{"batch":1}', "batch (line 1): must be an object")
  check_error('{"ingest":{"url":"ftp://x"}}', "ingest.url (line 1): must begin with http")
  check_error('{"default_namespace":"all"}', "default_namespace (line 1)")
  check_error('{"keys":{"secret-key-of-alice":{"namespace":"1"}}}', "keys.secret..namespace: must")
  check_error('{\n"a": ]}', "line 2 column 6")
  check_error("[", "is not JSON")
  check_error('"x"', "is not a JSON object")
end

function tests.keys_stay_out_of_messages()
  local _, err = read('{"keys":{"secret-key-of-alice":{"namespace":"1"}}}')
  check.equal(err:find("secret-key", 1, true), nil)
end

function tests.a_byte_order_mark_is_no_part_of_the_settings()
  check.equal(assert(read('\239\187\191{"gateway":"gw-7"}\r\n')).gateway, "gw-7")
end

function tests.what_editors_leave_around_a_key_is_no_part_of_it()
  for _, text in ipairs({ "planted-key", "planted-key\n", "planted-key \t\r\n\n",
                          "\239\187\191planted-key\r\n", "\239\187\191 planted-key" }) do
    check.equal(config.key(text), "planted-key", text)
  end
  check.equal(config.key(("k"):rep(4096) .. "\n"), ("k"):rep(4096))
end

function tests.what_can_be_no_key_is_refused_and_not_shown()
  for text, reason in pairs({
    [""] = "empty", ["\239\187\191\r\n"] = "empty", ["planted key"] = "blanks inside",
    ["planted\tkey"] = "blanks inside", ["planted\nkey\n"] = "more than one line",
    ["planted\7key"] = "control characters", ["pl\195\164nted"] = "beyond ASCII",
    ["planted\194\160"] = "beyond ASCII", ["\255\254p\0l\0a\0n\0"] = "UTF-16",
    ["\254\255\0p\0l"] = "UTF-16", ["p\0l\0"] = "UTF-16", [("planted"):rep(600)] = "too large",
  }) do
    local key, err = config.key(text)
    check.equal(key, nil, text)
    assert(err:find(reason, 1, true) and not err:find("planted", 1, true), reason .. ": " .. err)
  end
end

function tests.hashed_and_plain_keys_are_both_known_by_their_hash()
  local hash = ("0Aa1"):rep(16)
  local settings = assert(read('{"keys":{"' .. hash .. '":{"namespace":"a"},"plain":'
    .. '{"namespace":"b","consumer":"bob"}}}'))
  check.equal(settings.keys, { [hash:lower()] = { namespace = "a" },
                               ["hash of plain"] = { namespace = "b", consumer = "bob" } })
end

function tests.names_are_taken_as_ingest_takes_them()
  for _, good in ipairs({ "a", "wechat", "A1-_.:/", ("a"):rep(64) }) do
    check.equal(namespace.check(good), true, good)
  end
  for _, bad in ipairs({ "", "1a", "-a", "a b", "a\n", "\228", "all", "none", "other",
                         ("a"):rep(65) }) do
    check.equal(namespace.check(bad), nil, bad)
  end
end

function tests.the_key_wins_over_the_header_and_the_header_over_the_default()
  local settings = { keys = { h = { namespace = "keyed", consumer = "c" } }, trust_header = true,
                     namespace_header = "X-Namespace", default_namespace = "rest" }
  check.equal(namespace.resolve(settings, "header", "h").namespace, "keyed")
  check.equal(namespace.resolve(settings, "header", "unknown").namespace, "header")
  check.equal(namespace.resolve(settings, nil, "unknown").namespace, "rest")
  settings.default_namespace = nil
  local _, refusal = namespace.resolve(settings, nil, "unknown")
  check.equal({ refusal.status, refusal.reason }, { 401, "unknown_key" })
  _, refusal = namespace.resolve(settings, "1", nil)
  check.equal({ refusal.status, refusal.reason }, { 400, "bad_namespace" })
  settings.trust_header = false
  _, refusal = namespace.resolve(settings, "header", nil)
  check.equal({ refusal.status, refusal.reason }, { 401, "no_namespace" })
end

function tests.keys_are_read_from_authorization()
  check.equal(namespace.key_of("Bearer sk-1"), "sk-1")
  check.equal(namespace.key_of("bearer  sk-1 "), "sk-1")
  check.equal(namespace.key_of("Basic sk-1", "other"), nil)
  check.equal(namespace.key_of(nil, "k"), "k")
end

function tests.the_system_hashes_and_tells_running_processes()
  local hash = system.sha256_hex("abc")
  check.equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  local start = assert(system.started(system.pid()))
  check.equal(system.alive(system.pid(), start), true)
  check.equal(system.alive(system.pid(), start .. "1"), false)
  check.equal(#assert(system.random_hex(16)), 32)
end

return tests
