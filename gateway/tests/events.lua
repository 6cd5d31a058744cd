-- Tests of events as they are written, endpoints, and the metrics page.
-- It must never take an event as right that a JSON reader does not read back.
local check = require("check")
local cjson = require("cjson.safe")
local event = require("gatemeter.event")
local memo = require("gatemeter.memo")
local metrics = require("gatemeter.metrics")

local tests = {}

function tests.an_event_keeps_every_digit_and_escapes_what_json_wants()
  local line = event.encode({
    id = "a-1", time = 1769862896123456, namespace = "wechat", upstream = "openai",
    method = "POST", endpoint = "/v1/embeddings", status = 200, duration_ms = 1.23456,
    stream = false, consumer = 'a"\\\n\1\127\226\130\172',
    usage = { input_tokens = 0, output_tokens = 1000000000 }, seq = 3, producer = "p" })
  check.equal(line:match('"time":(%d+)'), "1769862896123456")
  check.equal(line:match('"duration_ms":([%d.]+)'), "1.235")
  local read = cjson.decode(line)
  check.equal(read.consumer, 'a"\\\n\1\127\226\130\172')
  check.equal(read.usage, { input_tokens = 0, output_tokens = 1000000000 })
  check.equal(read.ttft_ms, nil)
  check.equal(read.stream, false)
end

function tests.random_bytes_never_make_a_line_that_is_not_utf8()
  for _ = 1, 3000 do
    local bytes = {}
    for i = 1, math.random(0, 12) do
      bytes[i] = string.char(math.random(0, 255))
    end
    local line = event.encode({ id = "x", model = table.concat(bytes) })
    check.equal(event.utf8(line), line)
    assert(cjson.decode(line), line)
    assert(not line:find("\n", 1, true), "a line holds a line end")
  end
end

function tests.utf8_is_told_from_what_only_looks_like_it()
  for _, good in ipairs({ "", "a", "\226\130\172", "\240\159\152\128", "\237\159\191" }) do
    check.equal(event.utf8(good), good)
  end
  for _, bad in ipairs({ "\128", "\226\130", "\192\175", "\237\160\128", "\244\144\128\128",
                         "\224\128\128", "\240\128\128\128", "\245\128\128\128" }) do
    check.equal(event.utf8("船" .. bad .. "é"):find("^船.*%?.*é$") ~= nil, true)
  end
end

function tests.endpoints_never_hold_an_id()
  for path, expected in pairs({
    ["/v1/chat/completions"] = "/v1/chat/completions", ["/v1/embeddings/"] = "/v1/embeddings",
    ["/v1/models/gpt-4o"] = "/v1/models/{model}", ["/v1/responses/resp_1"] = "/v1/responses/{id}",
    ["/v1beta/models/gemini-3-pro:generateContent"] = "/v1beta/models/{model}:generateContent",
    ["/v1beta/models/gemini-3-pro:unknown"] = "/other",
    ["/model/us.anthropic.claude:0/converse"] = "/model/{model}/converse",
    ["/v1/unknown/42"] = "/other", ["/"] = "/other", ["/v1/files/f1/content"] =
      "/v1/files/{id}/content" }) do
    check.equal(event.endpoint(path), expected, path)
  end
end

function tests.every_family_has_help_type_and_all_its_series()
  local page = metrics.render(function(key)
    return key == metrics.key("events_dropped_total", "spool_full") and 5 or nil
  end)
  assert(page:find('\ngatemeter_gateway_events_dropped_total{reason="spool_full"} 5\n', 1, true))
  assert(page:find("\ngatemeter_gateway_events_total 0\n", 1, true))
  for _, family in ipairs(metrics.FAMILIES) do
    assert(page:find("# HELP gatemeter_gateway_" .. family[1] .. " %u"), family[1])
    assert(page:find("# TYPE gatemeter_gateway_" .. family[1] .. " " .. family[2], 1, true))
  end
end

function tests.words_are_written_alike_however_many_there_were_before()
  local function line(model)
    return event.encode({ model = model, producer = model })
  end
  local strange = 'a"b\\c\n' .. ("x"):rep(200)
  local before = { line("gpt-4o"), line("caf\195\169"), line(strange), line("bad\255") }
  for i = 1, 3000 do
    check.equal(line("model-" .. i),
                ('{"model":"model-%d","producer":"model-%d"}'):format(i, i))
  end
  check.equal({ line("gpt-4o"), line("caf\195\169"), line(strange), line("bad\255") }, before)
end

function tests.what_was_made_of_short_words_is_remembered_within_its_bounds()
  local n_made = 0
  local shout = memo.of(function(text)
    n_made = n_made + 1
    if text == "" then
      return nil, "nothing to shout"
    end
    return text .. "!"
  end)
  local function made_by(text, times)
    local before = n_made
    for _ = 1, times do
      check.equal(shout(text), text .. "!")
    end
    return n_made - before
  end
  check.equal({ made_by("ahoy", 3), made_by("ahoy", 1) }, { 1, 0 })
  check.equal(made_by(("x"):rep(128), 3), 1)
  check.equal(made_by(("x"):rep(129), 3), 3, "too long to be kept")
  for _ = 1, 3 do
    check.equal({ shout("") }, { nil, "nothing to shout" })
  end
  check.equal(n_made, 8, "what gave nothing is asked for again")
  for i = 3, 1000 do
    check.equal(made_by("word " .. i, 2), 1)
  end
  check.equal(made_by("ahoy", 1), 0, "as many as are kept")
  check.equal(made_by("word 1001", 2), 1)
  check.equal(made_by("ahoy", 2), 1, "it has begun anew")
end

return tests
