-- Tests of the reader of answers: packed bodies, bodies of any size, failures, and bytes that mean
-- harm. It must never depend on where an answer is cut.
local answer = require("gatemeter.answer")
local check = require("check")
local cjson = require("cjson.safe")
local failure = require("gatemeter.failure")
local ffi = require("ffi")
local inflate = require("gatemeter.inflate")
local request = require("gatemeter.request")
local scan = require("gatemeter.scan")
local sniff = require("gatemeter.sniff")

local tests = {}

ffi.cdef([[
  int deflateInit2_(gatemeter_zstream *stream, int level, int method, int bits, int memory,
                    int strategy, const char *version, int size);
  int deflate(gatemeter_zstream *stream, int flush);
  int deflateEnd(gatemeter_zstream *stream);
]])
-- gzip 31, zlib 15, raw -15.
local function pack(text, bits)
  local zlib = ffi.load("libz.so.1")
  local stream = ffi.new("gatemeter_zstream")
  assert(zlib.deflateInit2_(stream, 6, 8, bits, 8, 0, zlib.zlibVersion(),
                            ffi.sizeof(stream)) == 0)
  local room = #text + 1000
  local out = ffi.new("uint8_t[?]", room)
  stream.next_in, stream.avail_in = ffi.cast("const uint8_t *", text), #text
  stream.next_out, stream.avail_out = out, room
  assert(zlib.deflate(stream, 4) == 1)
  zlib.deflateEnd(stream)
  return ffi.string(out, room - stream.avail_out)
end

local function read(body, options, size)
  options = options or {}
  options.decode, options.clock = cjson.decode, function() return 1 end
  local reader = answer.new(options)
  size = size or #body
  for at = 1, #body, math.max(size, 1) do
    reader:feed(body:sub(at, at + size - 1))
  end
  return reader:finish(), reader
end

local FRAMES = 'data: {"model":"m","choices":[{"delta":{"content":"Ahoy"}}]}\n\n'
  .. 'data: {"choices":[],"usage":{"prompt_tokens":31,"completion_tokens":7}}\n\ndata: [DONE]\n\n'
local FRAMES_USAGE = { input_tokens = 31, output_tokens = 7 }

function tests.packed_requests_are_unpacked_up_to_a_bound()
  check.equal(request.unpacked(pack(FRAMES, 31), #FRAMES), FRAMES)
  check.equal(request.unpacked(pack(FRAMES, 31), #FRAMES - 1), nil)
  check.equal(request.unpacked(pack(FRAMES, 31):sub(1, 20) .. "\255\255\255\255", 1000), nil)
end

function tests.packed_answers_are_read_whatever_their_headers_say()
  local half = math.floor(#FRAMES / 2)
  local members = pack(FRAMES:sub(1, half), 31) .. pack(FRAMES:sub(half + 1), 31)
  for name, case in pairs({
    gzip = { pack(FRAMES, 31), "gzip" }, ["x-gzip"] = { pack(FRAMES, 31), "x-gzip" },
    zlib = { pack(FRAMES, 15), "deflate" }, raw = { pack(FRAMES, -15), "deflate" },
    unsaid = { pack(FRAMES, 31), nil }, members = { members, "gzip" },
    padded = { pack(FRAMES, 31) .. "\0\0\0", "gzip" }, plain = { FRAMES, "gzip" },
    identity = { FRAMES, "identity" } }) do
    for _, size in ipairs({ 1, 2, 3, 61, #case[1] }) do
      local reported = read(case[1], { content_encoding = case[2] }, size)
      check.equal(reported.usage, FRAMES_USAGE, name .. " by " .. size)
      check.equal(reported.unreadable, nil, name)
      check.equal(reported.stream, true, name)
    end
  end
end

function tests.what_cannot_be_unpacked_tells_no_number_and_says_so()
  local good = pack(FRAMES:rep(20), 31)
  local broken = good:sub(1, 40) .. "\255\255\255\255" .. good:sub(45)
  local checksum = good:sub(1, -9) .. ("\0"):rep(8)
  for name, case in pairs({
    br = { "\139\4\128usage", "br" }, zstd = { "\40\181\47\253\1\2", "zstd" },
    unsaid = { "\40\181\47\253\1\2", nil, "zstd" }, twice = { good, "gzip, br", "other" },
    unknown = { FRAMES, "snappy", "other" }, broken = { broken, "gzip" },
    checksum = { checksum, "gzip" }, deflate = { "no deflate at all", "deflate" } }) do
    for _, size in ipairs({ 1, 7, #case[1] }) do
      local reported = read(case[1], { content_encoding = case[2] }, size)
      check.equal(reported.usage, nil, name)
      check.equal(reported.unreadable, case[3] or case[2], name)
    end
  end
end

function tests.a_packed_answer_that_was_cut_off_tells_what_came_before()
  local packed = pack(FRAMES, 31)
  for at = 1, #packed - 1 do
    local reported = read(packed:sub(1, at), { content_encoding = "gzip" })
    assert(reported.unreadable == nil, "cut at " .. at)
    assert(reported.usage == nil or reported.usage.input_tokens == 31, "cut at " .. at)
  end
end

function tests.unpacking_stops_at_its_bound()
  local n = 0
  local unpacker = inflate.new(function(bytes) n = n + #bytes end, 100000)
  local bomb = pack(("\0"):rep(10000000), 31)
  check.equal(unpacker:feed(bomb), nil)
  assert(n <= 100000, n)
  check.equal(unpacker:feed(bomb), nil)
end

function tests.random_bytes_never_break_the_reader()
  for _ = 1, 3000 do
    local bytes = {}
    for i = 1, math.random(0, 60) do
      bytes[i] = string.char(math.random(0, 255))
    end
    local body = table.concat(bytes)
    for _, encoding in ipairs({ "gzip", "deflate", "identity" }) do
      check.equal(read(body, { content_encoding = encoding }).usage, nil)
    end
  end
end

-- Every bit of a body may be wrong; numbers then differ, but nothing breaks and none is impossible.
function tests.flipped_bytes_never_break_the_reader()
  local body = '{"model":"m","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":31,'
    .. '"completion_tokens":7,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":30}}}'
  for _, text in ipairs({ body, FRAMES, "[" .. body .. "," .. body .. "]" }) do
    for at = 1, #text do
      for _ = 1, 8 do
        local flipped = text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + 1)
        local usage = read(flipped, {}, math.random(1, 40)).usage or {}
        for name, n in pairs(usage) do
          assert(n % 1 == 0 and n >= 0 and n <= 1e9, name)
        end
        assert((usage.cache_read_tokens or 0) <= (usage.input_tokens or 1e9), flipped)
      end
    end
  end
end

function tests.a_body_cut_off_anywhere_tells_only_what_was_whole()
  local body = '{"model":"m","data":"' .. ("x"):rep(300) .. '","usage":{"prompt_tokens":31}}'
  for at = 0, #body - 1 do
    local usage = read(body:sub(1, at)).usage
    check.equal(usage, at >= #body - 1 and { input_tokens = 31 } or nil, "cut at " .. at)
  end
  body = '{"eval_count":1234,"prompt_eval_count":31'
  for at = 0, #body do
    local usage = read(body:sub(1, at)).usage
    assert(usage == nil or usage.output_tokens == 1234, "cut at " .. at)
    assert(usage == nil or usage.input_tokens == nil, "cut at " .. at)
  end
end

function tests.usage_and_model_of_a_long_body_are_found_on_either_side_of_its_data()
  local usage = '"usage":{"prompt_tokens":7,"prompt_tokens_details":{"cached_tokens":3}}'
  local fake = '"model":"no","usage":{"prompt_tokens":999}'
  local vector = ("[%s]"):format(("-0.0123,"):rep(2000) .. "1")
  local text = ('x\\"' .. fake:gsub('"', '\\"') .. "\\\\"):rep(2000)
  local data = ('{"e":%s,"t":"%s",%s,"deep":%s{%s}%s}'):format(
    vector, text, fake, ("["):rep(50), fake, ("]"):rep(50))
  data = "[" .. (data .. ","):rep(20) .. data .. "]"
  for _, body in ipairs({
    ('{"data":%s,"model":"m",%s}'):format(data, usage),
    ('{"model":"m",%s,"data":%s}'):format(usage, data),
    ('{%s,"data":%s,"model":"m"}'):format(usage, data) }) do
    assert(#body > 2 * 1024 * 1024)
    local started = collectgarbage("count")
    local reported = read(body, {}, 8192)
    check.equal(reported.usage, { input_tokens = 7, cache_read_tokens = 3 })
    check.equal(reported.model, "m")
    collectgarbage()
    assert(collectgarbage("count") - started < 1024, "memory was kept")
  end
end

function tests.a_long_event_of_a_stream_is_read_as_a_long_body()
  local picture = ("QUJD"):rep(800000)
  local usage = '"usage":{"input_tokens":5,"output_tokens":6}'
  for _, event in ipairs({
    ('{"type":"image_generation.completed","b64_json":"%s",%s}'):format(picture, usage),
    ('{%s,"type":"image_generation.completed","b64_json":"%s"}'):format(usage, picture) }) do
    local reported = read("event: x\ndata: " .. event .. "\n\ndata: [DONE]\n\n", {}, 16384)
    check.equal(reported.usage, { input_tokens = 5, output_tokens = 6 })
    check.equal(reported.done, true)
  end
end

function tests.an_event_that_no_decoder_takes_still_tells_its_usage()
  local usage = '"usage":{"prompt_tokens":5,"completion_tokens":6}'
  local expected = { input_tokens = 5, output_tokens = 6 }
  for _, odd in ipairs({ '"\\ud83d"', ("["):rep(2000) .. ("]"):rep(2000), "nul", '"a\tb"' }) do
    for _, event in ipairs({ '{"x":' .. odd .. ',"model":"m",' .. usage .. "}",
                             '{"model":"m",' .. usage .. ',"x":' .. odd .. "}" }) do
      local reported = read("data: " .. event .. "\n\n")
      check.equal(reported.usage, expected, event)
      check.equal(reported.model, "m", event)
      check.equal(read(event).usage, expected, event)
      check.equal(read(event .. "\n", { content_type = "application/jsonl" }).usage, expected,
                  event)
    end
  end
end

function tests.nesting_keys_and_values_without_bounds_cost_no_memory()
  local deep = ('{"a":['):rep(300000)
  local key = '{"' .. ("k"):rep(2000000) .. '":1,"usage":{"prompt_tokens":7}}'
  local value = '{"model":"' .. ("m"):rep(2000000) .. '","usage":{"prompt_tokens":7}}'
  local choices = '{"choices":[' .. ('{"usage":{"prompt_tokens":7}},'):rep(100000) .. "{}]}"
  for _, body in ipairs({ deep, key, value, choices, '{"usage":{"prompt_tokens":7}}' }) do
    collectgarbage()
    local kept, started = 0, collectgarbage("count")
    local scanner = scan.new(function(text) kept = kept + #text end)
    for at = 1, #body, 8192 do
      scanner:feed(body:sub(at, at + 8191))
    end
    scanner:finish()
    collectgarbage()
    assert(collectgarbage("count") - started < 600, "memory was kept")
    assert(kept < 400000, kept)
  end
  check.equal(read(key, {}, 8192).usage, { input_tokens = 7 })
  check.equal(read(value, {}, 8192).usage, { input_tokens = 7 })
end

function tests.the_kind_of_an_answer_shows_in_few_bytes()
  for head, kind in pairs({
    ["data: x"] = "events", ["data:"] = "events", [": c"] = "events", ["\n\nid\n"] = "events",
    ["retry: 3"] = "events", ["event:x"] = "events", ["\239\187\191data:"] = "events",
    ["  {"] = "json", ["["] = "json", ["\239\187\191\n{"] = "json", ["database"] = "other",
    ["<html>"] = "other", ["eventually"] = "other", ["\255\251"] = "other" }) do
    check.equal(sniff.kind(head, ""), kind, head)
    for n = 1, #head - 1 do
      local found = sniff.kind(head:sub(1, n), "")
      assert(found == nil or found == kind, head .. " at " .. n)
    end
  end
  check.equal(sniff.kind("{", "application/x-ndjson"), "lines")
  check.equal(sniff.kind("{", "application/jsonl"), "lines")
  check.equal(sniff.kind("plain", "text/event-stream"), "events")
end

function tests.errors_are_reported_in_the_words_of_events()
  for json, expected in pairs({
    ['{"error":{"type":"server_error"}}'] = "server_error",
    ['{"error":{"type":"rate_limited"}}'] = "rate_limited",
    ['{"error":{"code":"content_filter","type":null}}'] = "content_filter",
    ['{"error":{"type":"overloaded_error"}}'] = "server_error",
    ['{"error":"out of memory"}'] = "server_error", ['{"error":null}'] = false,
    ['{"error":{}}'] = false, ['{"error":{"code":null,"message":null}}'] = false,
    ['{"error":""}'] = false, ['{"error":false}'] = false,
    ['{"type":"error","code":"timeout","message":"x"}'] = "timeout",
    ['{"object":"error","message":"x","code":400}'] = "server_error",
    ['{"modelStreamErrorException":{"message":"x"}}'] = "server_error",
    ['{"base_resp":{"status_code":0}}'] = false,
    ['{"base_resp":{"status_code":1039}}'] = "server_error",
    ['{"choices":[{"finish_reason":"error"}]}'] = "server_error",
    ['{"choices":[{"delta":{"content":"error","error":{"type":"x"}}}]}'] = false,
    ['{"message":{"tool_calls":[{"arguments":{"error":{"type":"x"}}}]}}'] = false,
    ['{"event_type":"stream-end","finish_reason":"ERROR_LIMIT"}'] = "server_error",
    ['{"event_type":"stream-end","finish_reason":"COMPLETE"}'] = false,
    ['{"type":"message-end","delta":{"finish_reason":"ERROR"}}'] = "server_error" }) do
    check.equal(failure.find(cjson.decode(json)) or false, expected, json)
  end
  check.equal(failure.find(nil, "error"), "server_error")
  check.equal(failure.find({}, "message"), nil)
end

function tests.a_stream_without_a_byte_is_one_by_its_content_type()
  check.equal(read("", { content_type = "text/event-stream" }).stream, true)
  check.equal(read("", { content_type = "application/x-ndjson" }).stream, true)
  check.equal(read("", { content_type = "application/json" }).stream, false)
  check.equal(read("x", { content_type = "text/event-stream", content_encoding = "br" }).stream,
              true)
end

-- After the first token most events are not decoded; those that report an error must be.
function tests.an_error_after_the_first_token_is_seen()
  local first = 'data: {"model":"m","choices":[{"delta":{"content":"Ahoy"}}]}\n\n'
  for _, frame in ipairs({ 'data: {"error":{"message":"gone"}}\n\n', "event: error\ndata: gone\n\n",
                           'error: {"code":500}\n\n',
                           'event: error\ndata: {"code":"x"}\n\n',
                           'data: {"type":"response.failed","response":{}}\n\n',
                           'data: {"throttlingException":{"message":"x"}}\n\n' }) do
    check.equal(read(first .. frame .. "data: [DONE]\n\n").error_type, "server_error", frame)
  end
  local tool = 'data: {"choices":[{"delta":{"content":"{\\"error\\":{\\"a\\":1}}"}}]}\n\n'
  check.equal(read(first .. tool).error_type, nil)
end

return tests
