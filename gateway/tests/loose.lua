-- Tests of what is read although its sender should have written it better. It must never find in
-- such bytes what a careful reader would not.
local answer = require("gatemeter.answer")
local check = require("check")
local cjson = require("cjson.safe")
local inject = require("gatemeter.inject")
local loose = require("gatemeter.loose")
local request = require("gatemeter.request")
local requests = require("gatemeter.sent")

local tests = {}

local decode = loose.decoder(cjson.decode)
local BOM = "\239\187\191"
local INSTEAD = "\239\191\189"

function tests.half_a_letter_costs_itself_alone()
  for given, expected in pairs({
    ["a\\ud83db"] = "a" .. INSTEAD .. "b", ["\\uDCA9"] = INSTEAD,
    ["\\ud83d\\ud83d"] = INSTEAD:rep(2),
    ["\\ud83d\\ude00\\ud83d"] = "\240\159\152\128" .. INSTEAD, ["\\ud83d\\n"] = INSTEAD .. "\n",
    -- Letters that only look like one, behind a backslash of their own.
    ["\\\\ud83d \\ud83d"] = "\\ud83d " .. INSTEAD, ["\\\\\\ud83d"] = "\\" .. INSTEAD,
  }) do
    check.equal((decode('{"x":"' .. given .. '"}') or {}).x, expected, given)
  end
  check.equal(decode('{"x":"\\ud83d'), nil)
  check.equal(decode('{"x":"\\ud83"}'), nil)
  check.equal(decode(BOM .. '{"x":1}'), { x = 1 })
  check.equal(decode(BOM), nil)
  check.equal(decode(""), nil)
end

function tests.objects_one_after_another_are_told_apart_and_what_was_cut_off_is_none()
  local first, second = '{"a":"}{\\"","b":[{"c":{}}]}', '{ "d" : 1 }'
  for _, between in ipairs({ "", "\n", "\r\n", "\n\n ", ",", " , " }) do
    check.equal(loose.objects(first .. between .. second), { first, second })
    check.equal(loose.objects("[" .. first .. between .. second .. "]"), { first, second })
    local both = first .. between .. second
    for at = #first + 1, #both - 1 do
      check.equal(loose.objects(both:sub(1, at)), { first }, "cut at " .. at)
    end
  end
  check.equal(loose.objects('}}' .. second), { second })
  check.equal(loose.objects('"{" ' .. second .. ' "'), { second })
  check.equal(loose.values(cjson.decode, first), { first })
end

local function received(body, options)
  options.decode, options.encode, options.clock = decode, cjson.encode, function() return 1 end
  options.text_bytes_max = 100000
  local reader = answer.new(options)
  for at = 1, #body, options.size or #body do
    reader:feed(body:sub(at, at + (options.size or #body) - 1))
  end
  local reported = reader:finish()
  return reader:received(), reported
end

-- Lines without their content type and lists are streams: an estimate needs what they brought.
function tests.the_text_of_values_is_kept_however_they_are_put_together()
  local lines, list = {}, {}
  for i, word in ipairs({ "Land", " a", "head" }) do
    lines[i] = cjson.encode({ model = "pilot", message = { content = word }, done = i == 3 })
    list[i] = cjson.encode({ modelVersion = "pilot",
                             candidates = { { content = { parts = { { text = word } } } } } })
  end
  local as_lines, as_list = table.concat(lines, "\n"), "[" .. table.concat(list, ",\r\n") .. "]"
  for _, kind in ipairs({ "", "application/json", "text/plain", "application/x-ndjson" }) do
    for _, size in ipairs({ 7, 64, 100000 }) do
      local found, reported = received(as_lines, { content_type = kind, size = size })
      check.equal({ found.output, reported.stream }, { "Land ahead", true }, kind .. size)
      found = received(as_lines:sub(1, -9), { content_type = kind, size = size })
      check.equal(found.output, "Land a", "cut, " .. kind .. size)
    end
  end
  for _, size in ipairs({ 7, 100000 }) do
    check.equal(received(as_list, { size = size }).output, "Land ahead")
    local found, reported = received(as_list:sub(1, -9), { size = size })
    check.equal({ found.output, reported.stream }, { "Land a", true }, "cut")
  end
end

-- Of an answer that was cut off the client has what came; it is shown no more and no less.
function tests.a_value_that_was_cut_off_is_what_came_of_it()
  local whole = '{"a":[1,{"x":"y"},true],"content":"S\\u00e9\\n\\ud83d\\ude00 ship\\"",'
    .. '"z":{"k":-1.5e3}}'
  local text = cjson.decode(whole).content
  local seen = 0
  for at = 1, #whole - 1 do
    local values = loose.values(decode, whole:sub(1, at))
    local found = decode(values[1])
    check.equal({ #values, type(found) }, { 1, "table" }, "cut at " .. at .. ": " .. values[1])
    local came = (found.content or ""):gsub(INSTEAD .. "$", "")
    check.equal(text:sub(1, #came), came, "cut at " .. at)
    assert(#came >= seen, "what came goes back at " .. at)
    seen = #came
  end
  check.equal(seen, #text)
  check.equal(loose.values(decode, '{"a":"b","c'), { '{"a":"b"}' })
  check.equal(loose.values(decode, '{"a":1,"c":2'), { '{"a":1}' })
  check.equal(loose.values(decode, "no JSON"), {})
  check.equal(loose.values(decode, '{"a":}]}]}'), { '{"a":}' }, "nor can this be mended")
  for _ = 1, 2000 do
    local bytes = {}
    for i = 1, math.random(0, 12) do
      local n = math.random(1, 12)
      bytes[i] = ('{}[],:"\\u1a '):sub(n, n)
    end
    check.equal(type(loose.values(decode, "{" .. table.concat(bytes))), "table")
  end
end

function tests.the_text_of_a_whole_answer_is_what_was_delivered()
  local body = cjson.encode({ model = "pilot",
                              choices = { { message = { content = "Land ahead" } } } })
  local at = body:find(" ahead", 1, true)
  check.equal(received(body:sub(1, at + 2), {}).output, "Land ah")
  check.equal(received(body:sub(1, at + 2), { size = 5 }).output, "Land ah")
  check.equal(received(body:sub(1, 5), {}).output, nil)
end

function tests.a_list_of_things_is_no_stream()
  for body, is_stream in pairs({
    ['[{"index":0,"score":0.9},{"index":1,"score":0.1}]'] = false,
    ['[{"id":"a","object":"model"},{"id":"b","object":"model"}]'] = false,
    ['[{"modelVersion":"a"},{"modelVersion":"a"}]'] = true,
    ['[{"candidates":[]},{"usageMetadata":{"promptTokenCount":3}}]'] = true,
    ['[{"candidates":[]},{"error":{"code":503}}]'] = true,
    ['{"a":1}\n{"b":2}'] = true, ['[[0.1],[0.2]]'] = false,
  }) do
    local _, reported = received(body, {})
    check.equal({ reported.stream, reported.first_token ~= nil }, { is_stream, is_stream }, body)
  end
end

-- A whole answer with text has used tokens; zeros in it hold a place.
function tests.zeros_beside_text_are_no_counts()
  local zeros = { input_tokens = 0, output_tokens = 0 }
  for name, object in pairs({
    chat = { choices = { { message = { content = "Ahoy" } } },
             usage = { prompt_tokens = 0, completion_tokens = 0, total_tokens = 0 } },
    tool = { choices = { { message = { tool_calls = { { ["function"] = { name = "f" } } } } } },
             usage = zeros },
    messages = { content = { { type = "text", text = "Ahoy" } }, usage = zeros },
    responses = { output = { { type = "message", content = { { text = "Ahoy" } } } },
                  usage = zeros },
  }) do
    local found, reported = received(cjson.encode(object), {})
    check.equal(found ~= nil and reported.usage == nil, true, name)
  end
  local silent = { choices = { { message = { content = "" } } }, usage = zeros }
  local _, reported = received(cjson.encode(silent), {})
  check.equal(reported.usage, zeros, "nothing was said")
  local half = { choices = { { text = "Ahoy" } },
                 usage = { prompt_tokens = 5, completion_tokens = 0, total_tokens = 5 } }
  _, reported = received(cjson.encode(half), {})
  check.equal(reported.usage, { input_tokens = 5 })
  check.equal(reported.absent.output, true)
  _, reported = received(cjson.encode(half), { may_echo = true })
  check.equal(reported.usage, { input_tokens = 5, output_tokens = 0 }, "an echo of the prompt")
end

function tests.requests_are_read_that_others_would_take()
  local body = BOM .. '{"stream":true,"model":"m","n":1.50}'
  check.equal(inject.include_usage(decode, cjson.null, body),
              BOM .. '{"stream_options":{"include_usage":true},"stream":true,"model":"m","n":1.50}')
  body = '{"stream":true,"messages":[{"content":"\\ud83d"}]}'
  check.equal(inject.include_usage(decode, cjson.null, body),
              '{"stream_options":{"include_usage":true},"stream":true,'
                .. '"messages":[{"content":"\\ud83d"}]}')
  check.equal(request.unpacked("plain", 10), "plain")
  check.equal(request.unpacked("", 10), "")
  check.equal(request.unpacked("\31\139 no gzip", 10), nil)
  for asked, expected in pairs({
    ['{"inputs":"one"}'] = "one", ['{"texts":["a","b"]}'] = { "a", "b" },
    ['{"query":"q","texts":["a"]}'] = { "q", "a" },
    ['{"query":"q","documents":[{"text":"a","id":7},"b"]}'] = { "q", "a", "b" },
    ['{"inputText":"t"}'] = "t" }) do
    check.equal(requests.read(cjson, cjson.decode(asked)).input, expected, asked)
  end
  local batch = cjson.decode('{"requests":[{"model":"m","content":{"parts":[{"text":"a"}]}}]}')
  check.equal(requests.read(cjson, batch).messages, { { parts = { { text = "a" } } } })
end

return tests
