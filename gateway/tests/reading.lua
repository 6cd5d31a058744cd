-- Tests of what reads answers: the parser of event streams, usage, models, first tokens.
-- It must never depend on where a stream is cut.
local answer = require("gatemeter.answer")
local check = require("check")
local cjson = require("cjson.safe")
local shapes = require("gatemeter.shapes")
local sse = require("gatemeter.sse")
local usage = require("gatemeter.usage")

local tests = {}

local function parse(text, cuts, bytes_max)
  local seen = {}
  local parser = sse.new(function(data) seen[#seen + 1] = data end,
                         function()
                           local bytes = 0
                           return { feed = function(_, piece) bytes = bytes + #piece end,
                                    finish = function() seen[#seen + 1] = "long:" .. bytes end }
                         end, { data_bytes_max = bytes_max })
  local at = 1
  for _, cut in ipairs(cuts) do
    parser:feed(text:sub(at, cut))
    at = cut + 1
  end
  parser:feed(text:sub(at))
  parser:finish()
  return seen
end

local STREAM = "\239\187\191: comment\r\n\r\ndata: {\"a\":1}\n\ndata:two\r\ndata: lines\r\n\r\n"
  .. "event: x\rid: 7\rdata: \226\130\172\r\rdata\n\ndata: [DONE]\n\ndata: no blank line"
local EVENTS = { '{"a":1}', "two\nlines", "\226\130\172", "[DONE]", "no blank line" }

function tests.any_cut_of_a_stream_gives_the_same_events()
  check.equal(parse(STREAM, {}), EVENTS)
  for first = 1, #STREAM do
    check.equal(parse(STREAM, { first }), EVENTS, "cut at " .. first)
  end
  for _ = 1, 2000 do
    local cuts, at = {}, 0
    while at < #STREAM do
      at = at + math.random(0, 9)
      cuts[#cuts + 1] = math.min(at, #STREAM)
    end
    check.equal(parse(STREAM, cuts), EVENTS, "cuts " .. table.concat(cuts, ","))
  end
end

function tests.a_line_beyond_the_bound_costs_no_memory_and_not_the_next_event()
  local text = "data: " .. ("x"):rep(100000) .. "\n\ndata: next\n\n"
  local cuts = {}
  for at = 1000, #text, 1000 do
    cuts[#cuts + 1] = at
  end
  check.equal(parse(text, cuts, 20000), { "long:100000", "next" })
end

function tests.an_event_of_many_lines_is_joined_in_little_time_and_bounded()
  local lines = ("data: x\n"):rep(50000)
  check.equal(#parse(lines .. "\ndata: next\n\n", {})[1], 99999)
  check.equal(parse(("data:\n"):rep(100000) .. "\ndata: next\n\n", {}),
              { "long:99999", "next" })
end

local function whole()
  return answer.new({ decode = cjson.decode, clock = function() return 1 end })
end

local function settle(raw)
  return (usage.settle(usage.find({ usage = raw }), {}))
end

local function read(frames)
  local clock = 0
  local reader = answer.new({ decode = cjson.decode, clock = function() return clock end,
                              text_bytes_max = 65536, content_type = "text/event-stream" })
  for i, data in ipairs(frames) do
    clock = i
    reader:feed("data: " .. data .. "\n\n")
  end
  return reader:finish(), reader
end

function tests.the_first_token_is_the_first_delta_that_is_not_empty()
  local reported, reader = read({
    '{"model":"m","choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}',
    '{"choices":[{"delta":{"content":"Hi"}}],"usage":null}',
    '{"choices":[{"delta":{"content":"!"}}]}',
    '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}', "[DONE]" })
  check.equal(reported.first_token, 2)
  check.equal(reported.model, "m")
  check.equal(reported.done, true)
  check.equal(reported.usage, { input_tokens = 5, output_tokens = 2 })
  check.equal(reader:received(), { output = "Hi!" })
end

function tests.tool_calls_reasoning_and_completions_are_tokens_too()
  for _, data in ipairs({ '{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}',
                          '{"choices":[{"delta":{"reasoning_content":"hm"}}]}',
                          '{"choices":[{"text":"a"}]}',
                          '{"type":"response.output_text.delta","delta":"a"}',
                          '{"type":"content_block_delta","delta":{"text":"a"}}' }) do
    check.equal(read({ "{}", data }).first_token, 2, data)
  end
  check.equal(read({ '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}' }).first_token)
end

function tests.usage_of_anthropic_streams_is_put_together_and_includes_the_cache()
  local reported = read({
    '{"type":"message_start","message":{"model":"c","usage":{"input_tokens":10,'
      .. '"cache_read_input_tokens":20,"cache_creation_input_tokens":5,"output_tokens":1}}}',
    '{"type":"message_delta","delta":{},"usage":{"output_tokens":42}}' })
  check.equal(reported.usage, { input_tokens = 35, cache_read_tokens = 20, cache_write_tokens = 5,
                            output_tokens = 42 })
  check.equal(reported.model, "c")
end

function tests.absent_counts_stay_absent_and_zero_stays_zero()
  check.equal(settle({ prompt_tokens = 0 }), { input_tokens = 0 })
  check.equal(settle({}), nil)
  check.equal(settle(nil), nil)
  check.equal(settle({ prompt_tokens = cjson.null, completion_tokens = 7 }), { output_tokens = 7 })
  check.equal(settle({ prompt_tokens = 9, completion_tokens = 8,
                           prompt_tokens_details = { cached_tokens = 3 },
                           completion_tokens_details = { reasoning_tokens = 0 } }),
              { input_tokens = 9, output_tokens = 8, cache_read_tokens = 3, reasoning_tokens = 0 })
end

function tests.zeros_that_hold_a_place_are_no_counts()
  local meta = { billed_units = { input_tokens = 0, output_tokens = 0, search_units = 0 },
                 tokens = { input_tokens = 66, output_tokens = 0 } }
  check.equal(usage.settle(usage.find({ meta = meta }), { without_output = true }),
              { input_tokens = 66, output_tokens = 0 })
  local raw = { prompt_tokens = 0, total_tokens = 64 }
  check.equal(usage.settle(usage.find({ usage = raw }), { without_output = true }),
              { input_tokens = 64 })
  local reported = read({ '{"usage":{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9}}',
                      '{"model":"m","choices":[{"delta":{"content":"Hi"}}]}' })
  check.equal(reported.usage, { input_tokens = 9 })
  check.equal(reported.absent, { input = false, output = true })
end

function tests.a_bill_in_another_unit_is_told_from_a_missing_usage()
  for body, is_of_another_unit in pairs({
    ['{"text":"ahoy","usage":{"type":"duration","seconds":9}}'] = true,
    ['{"id":"x","results":[],"meta":{"billed_units":{"search_units":2}}}'] = true,
    ['{"id":"x","classifications":[],"meta":{"billed_units":{"classifications":4}}}'] = true,
    ['{"id":"x","results":[],"meta":{"billed_units":{"search_units":0}}}'] = false,
    ['{"id":"x","meta":{"billed_units":{"search_units":1,"input_tokens":3}}}'] = false,
    ['{"text":"ahoy","usage":{"type":"tokens","input_tokens":3,"output_tokens":2}}'] = false,
    ['{"text":"ahoy","usage":null}'] = false,
  }) do
    check.equal(read({ body }).another_unit or false, is_of_another_unit, body)
  end
  -- Beside the usage of a prompt that has a name of its own.
  local seconds = '{"usage":{"type":"duration","seconds":9}}'
  local named = '{"meta_info":{"id":"a","prompt_tokens":3,"completion_tokens":2}}'
  for _, values in ipairs({ { named, seconds }, { seconds, named } }) do
    check.equal(read(values).usage, { input_tokens = 3, output_tokens = 2 })
  end
end

function tests.the_total_yields_a_side_that_is_not_reported()
  check.equal(settle({ prompt_tokens = 10, total_tokens = 25 }),
              { input_tokens = 10, output_tokens = 15 })
  check.equal(settle({ completion_tokens = 10, total_tokens = 25 }),
              { input_tokens = 15, output_tokens = 10 })
  check.equal(settle({ prompt_tokens = 10, total_tokens = 10 }), { input_tokens = 10 })
end

function tests.without_an_output_all_of_the_total_is_input()
  local function embedded(raw)
    return usage.settle(usage.find({ usage = raw }), { without_output = true })
  end
  check.equal(embedded({ input_tokens = 10, image_tokens = 896, total_tokens = 906 }),
              { input_tokens = 906 })
  check.equal(embedded({ prompt_tokens = 7, completion_tokens = 0, total_tokens = 9 }),
              { input_tokens = 9, output_tokens = 0 })
end

function tests.usages_of_several_prompts_are_added_up_as_far_as_all_tell_them()
  local function reported(...)
    local by_prompt = {}
    for i, counts in ipairs({ ... }) do
      by_prompt[i] = usage.find({ tokens_evaluated = counts[1], tokens_predicted = counts[2] })
    end
    return usage.settle(usage.sum(by_prompt), {})
  end
  check.equal(reported({ 7, 3 }), { input_tokens = 7, output_tokens = 3 })
  check.equal(reported({ 7, 3 }, { 8, 4 }, { 1, 0 }), { input_tokens = 16, output_tokens = 7 })
  check.equal(reported({ 7, 3 }, { 8, nil }), { input_tokens = 15 })
  check.equal(reported({ 7, 3 }, { 8, "many" }), nil)
  check.equal(reported(), nil)
end

function tests.more_prompts_than_are_kept_apart_tell_no_usage()
  local function batch(n_prompts)
    local parts = {}
    for i = 1, n_prompts do
      parts[i] = ('{"index":%d,"tokens_evaluated":2,"tokens_predicted":1}'):format(i)
    end
    local reader = answer.new({ decode = cjson.decode, clock = function() return 1 end })
    reader:feed("[" .. table.concat(parts, ",") .. "]")
    return reader:finish()
  end
  check.equal(batch(1024).usage, { input_tokens = 2048, output_tokens = 1024 })
  check.equal(batch(1024).stream, false)
  check.equal(batch(1025).usage, nil)
end

function tests.sound_in_the_total_alone_is_input_if_both_sides_are_reported()
  local raw = { prompt_tokens = 3, completion_tokens = 41, total_tokens = 419 }
  check.equal(settle(raw), { input_tokens = 3, output_tokens = 416, reasoning_tokens = 375 })
  raw.prompt_audio_seconds = 0
  check.equal(settle(raw), { input_tokens = 3, output_tokens = 416, reasoning_tokens = 375 })
  raw.prompt_audio_seconds = 12
  check.equal(settle(raw), { input_tokens = 378, output_tokens = 41 })
  raw.completion_tokens = nil
  local found, says = usage.settle(usage.find({ usage = raw }), {})
  check.equal(found, { input_tokens = 3 })
  check.equal(says.mismatch, "openai_chat")
end

function tests.writes_that_overlap_what_was_read_give_way_alone()
  local raw = { input_tokens = 3619, output_tokens = 36, total_tokens = 3655,
                input_tokens_details = { cached_tokens = 2921, cache_write_tokens = 3616 } }
  local found, says = usage.settle(usage.find({ usage = raw }), {})
  check.equal(found, { input_tokens = 3619, cache_read_tokens = 2921, output_tokens = 36 })
  check.equal(says.mismatch, "openai_responses")
end

function tests.cache_writes_are_found_in_every_form()
  for json, expected in pairs({
    ['{"prompt_tokens":90,"prompt_tokens_details":{"cache_write_tokens":40}}'] = 90,
    ['{"prompt_tokens":90,"prompt_tokens_details":{"cached_creation_tokens":40}}'] = 90,
    ['{"prompt_tokens":90,"prompt_tokens_details":{"cache_creation_token_details":'
      .. '{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30}}}'] = 90,
    ['{"prompt_tokens":90,"prompt_tokens_details":{"cache_creation":'
      .. '{"ephemeral_5m_input_tokens":40}}}'] = 90,
    ['{"prompt_tokens":90,"cache_creation_input_tokens":40}'] = 90,
    ['{"input_tokens":90,"input_tokens_details":{"cache_creation_tokens":40}}'] = 90,
    ['{"input_tokens":50,"cache_creation_input_tokens":40}'] = 90,
    ['{"input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":40}}'] = 90,
    ['{"inputTokens":50,"cacheWriteInputTokens":40}'] = 90 }) do
    check.equal(settle(cjson.decode(json)),
                { input_tokens = expected, cache_write_tokens = 40 }, json)
  end
end

-- Ingest rejects the whole event of parts without their whole.
function tests.parts_of_what_is_unknown_are_left_out()
  check.equal(settle({ completion_tokens = 5, prompt_tokens_details = { cached_tokens = 3 } }),
              { output_tokens = 5 })
  check.equal(settle({ prompt_tokens = 5, completion_tokens_details = { reasoning_tokens = 3 } }),
              { input_tokens = 5 })
  check.equal(settle({ candidatesTokenCount = 20, thoughtsTokenCount = 30, totalTokenCount = 90 }),
              { input_tokens = 40, output_tokens = 50, reasoning_tokens = 30 })
end

function tests.a_count_that_is_no_number_makes_the_whole_usage_unknown()
  for _, bad in ipairs({ "many", "0x10", "1e3", "-1", "", "1,234", true, {}, -5, 1e10, 0 / 0,
                         math.huge }) do
    check.equal(settle({ prompt_tokens = 10, completion_tokens = bad }), nil, tostring(bad))
    check.equal(settle({ prompt_tokens = 10, completion_tokens = 5,
                         prompt_tokens_details = { cached_tokens = bad } }), nil, tostring(bad))
  end
  local reported = read({ '{"usage":{"prompt_tokens":"?","completion_tokens":"?"}}',
                      '{"usage":{"prompt_tokens":9,"completion_tokens":3}}' })
  check.equal(reported.usage, { input_tokens = 9, output_tokens = 3 })
  reported = read({ '{"type":"message_start",'
                  .. '"message":{"usage":{"input_tokens":9,"output_tokens":-1}}}',
                '{"type":"message_delta","delta":{},"usage":{"output_tokens":3}}' })
  check.equal(reported.usage, { input_tokens = 9, output_tokens = 3 })
  reported = read({ '{"usage":{"prompt_tokens":9,"completion_tokens":3}}',
                '{"usage":{"prompt_tokens":9,"completion_tokens":"?"}}' })
  check.equal(reported.usage, nil)
end

function tests.fractions_are_rounded_half_to_even_and_parts_still_fit()
  for given, expected in pairs({ [0.5] = 0, [1.5] = 2, [2.5] = 2, [2.51] = 3, [7.49] = 7 }) do
    local found, says = usage.settle(usage.find({ usage = { prompt_tokens = given } }), {})
    check.equal(found, { input_tokens = expected }, given)
    check.equal(says.repaired, true, given)
  end
  local found, says = usage.settle(usage.find({ usage = {
    prompt_tokens = 2.5, completion_tokens = 1.5, total_tokens = 4,
    prompt_tokens_details = { cached_tokens = 1.5, cache_write_tokens = 0.6 } } }), {})
  check.equal(found, { input_tokens = 2, cache_read_tokens = 2, cache_write_tokens = 0,
                       output_tokens = 2 })
  check.equal(says.mismatch, nil)
end

local function put(object, path, value)
  local last
  for name in path:gmatch("[^.]+") do
    if last then
      object[last] = type(object[last]) == "table" and object[last] or {}
      object = object[last]
    end
    last = name
  end
  object[last] = value
end

-- Any members of any form with any numbers: ingest must take what comes out, or the event is lost.
function tests.whatever_usage_is_reported_ingest_would_take_it()
  local values = { 0, 1, 5, 6, 7, 100, 0.5, 2.5, 1e9, 999999999, "12", cjson.null }
  for _ = 1, 20000 do
    local form = shapes.FORMS[math.random(#shapes.FORMS)]
    local raw, second = {}, {}
    for _, count in ipairs({ "input", "output", "total", "cache_read", "cache_write",
                             "reasoning" }) do
      for _, member in ipairs(form[count]) do
        for _, path in ipairs(type(member) == "table" and member or { member }) do
          if math.random() < 0.5 then
            put(math.random() < 0.7 and raw or second, path, values[math.random(#values)])
          end
        end
      end
    end
    local reported = usage.merge(usage.find({ usage = raw, type = math.random() < 0.1
      and "message_start" or nil }), usage.find({ usageMetadata = second }))
    local found = usage.settle(reported, { without_output = math.random() < 0.3,
                                       saw_text = function() return math.random() < 0.3 end }) or {}
    for name, n in pairs(found) do
      assert(n % 1 == 0 and n >= 0 and n <= 1e9, name .. " of " .. cjson.encode(raw))
    end
    local cached = (found.cache_read_tokens or 0) + (found.cache_write_tokens or 0)
    assert(cached <= (found.input_tokens or 0), cjson.encode({ raw, second }))
    assert((found.reasoning_tokens or 0) <= (found.output_tokens or 0),
           cjson.encode({ raw, second }))
  end
end

function tests.parts_above_their_whole_are_left_out()
  check.equal(settle({ prompt_tokens = 1, completion_tokens = 1,
                           prompt_tokens_details = { cached_tokens = 2 },
                           completion_tokens_details = { reasoning_tokens = 2 } }),
              { input_tokens = 1, output_tokens = 1 })
end

function tests.usage_of_an_answer_too_long_to_keep_is_found_at_its_end()
  local reader = whole()
  reader:feed('{"model":"m","data":"')
  for _ = 1, 40 do
    reader:feed(("x"):rep(65536))
  end
  reader:feed('","usage":{"prompt_tokens":7,"prompt_tokens_details":{"cached_tokens":3}}}')
  local reported = reader:finish()
  check.equal(reported.usage, { input_tokens = 7, cache_read_tokens = 3 })
  check.equal(reported.model, "m")
end

function tests.an_answer_that_is_not_json_says_nothing()
  local reader = whole()
  reader:feed("<html>")
  check.equal(reader:finish(), { stream = false, foreign = true })
end

return tests
