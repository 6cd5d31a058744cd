-- Tests of what is collected for counting tokens: requests and answers of each dialect, streamed
-- and whole, hostile ones, and the bounds. It must never let a picture or half an answer pass.
local answer = require("gatemeter.answer")
local check = require("check")
local cjson = require("cjson.safe")
local requests = require("gatemeter.sent")
local text = require("gatemeter.text")

local tests = {}

local BYTES_MAX = 65536

-- The parts of an answer that came as these events, or as this one body.
local function received(events, nothing, bytes_max)
  local collector = text.collector(cjson, bytes_max or BYTES_MAX)
  if type(events) == "string" then
    collector:add(cjson.decode(events))
  else
    for _, data in ipairs(events) do
      collector:keep(data)
    end
  end
  return collector:received(nothing)
end

local CALL = { { name = "moor", arguments = '{"pier":7}' } }
-- What each dialect makes of: the thought "Hm, ", the answer "Ahoy!", the call of a tool.
local STREAMS = {
  openai = {
    '{"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":"Hm"}}]}',
    '{"choices":[{"index":0,"delta":{"reasoning_content":", "}}]}',
    '{"choices":[{"index":0,"delta":{"content":"Aho"}}]}',
    '{"choices":[{"index":0,"delta":{"content":"y!","tool_calls":null}}]}',
    '{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"index":0,"id":"c",'
      .. '"function":{"name":"moor","arguments":""}}]}}]}',
    '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":'
      .. '"{\\"pier\\""}}]}}]}',
    '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":7}"}}]}}]}',
    '{"choices":[],"usage":{"prompt_tokens":1}}', "[DONE]",
  },
  ["a thought in a list, the words of a voice"] = {
    '{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"H"}]}}]}',
    '{"choices":[{"delta":{"reasoning_details":[{"text":"m, "},{"type":"x"},7]}}]}',
    '{"choices":[{"delta":{"audio":{"id":"a","transcript":"Aho"}}}]}',
    '{"choices":[{"delta":{"audio":{"data":"QUJDREVG"}}}]}',
    '{"choices":[{"delta":{"audio":{"transcript":"y!"}}}]}',
    '{"choices":[{"delta":{"function_call":{"name":"moor","arguments":"{\\"pier\\":7}"}}}]}',
  },
  ["a thought that is repeated from its start each time"] = {
    '{"choices":[{"delta":{"reasoning_details":[{"text":"H"}]}}]}',
    '{"choices":[{"delta":{"reasoning_details":[{"text":"Hm"}]}}]}',
    '{"choices":[{"delta":{"reasoning_details":[{"text":"Hm, "}]}}]}',
    '{"choices":[{"delta":{"content":"Ahoy!"}}]}',
    '{"choices":[{"delta":{"function_call":{"name":"moor","arguments":"{\\"pier\\":7}"}}}]}',
  },
  ["a thought under two names"] = {
    '{"choices":[{"delta":{"reasoning":"Hm, ","reasoning_content":"Hm, "}}]}',
    '{"choices":[{"delta":{"content":[{"type":"text","text":"Ahoy!"}]}}]}',
    '{"choices":[{"delta":{"function_call":{"name":"moor","arguments":"{\\"pier\\":7}"}}}]}',
  },
  anthropic = {
    '{"type":"message_start","message":{"model":"c","content":[],"usage":{"input_tokens":1}}}',
    '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm, "}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}',
    '{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}',
    '{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Aho"}}',
    '{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"y!"}}',
    '{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t",'
      .. '"name":"moor","input":{}}}',
    '{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",'
      .. '"partial_json":"{\\"pier\\":"}}',
    '{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",'
      .. '"partial_json":"7}"}}',
    '{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}',
  },
  responses = {
    '{"type":"response.created","response":{"model":"m","output":[]}}',
    '{"type":"response.reasoning_summary_text.delta","output_index":0,"delta":"Hm, "}',
    '{"type":"response.output_text.delta","output_index":1,"delta":"Aho"}',
    '{"type":"response.output_text.delta","output_index":1,"delta":"y!"}',
    '{"type":"response.output_text.done","output_index":1,"text":"Ahoy!"}',
    '{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call",'
      .. '"name":"moor","arguments":""}}',
    '{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\\"pier\\":7}"}',
    '{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call",'
      .. '"name":"moor","arguments":"{\\"pier\\":7}"}}',
    '{"type":"response.audio.delta","delta":"QUJD"}',
    '{"type":"response.completed","response":{"output":[{"type":"message","content":['
      .. '{"type":"output_text","text":"Ahoy!"}]}]}}',
  },
  ["only the end of responses"] = {
    '{"type":"response.completed","response":{"output":[{"type":"reasoning","summary":['
      .. '{"type":"summary_text","text":"Hm, "}]},{"type":"message","content":['
      .. '{"type":"output_text","text":"Ahoy!"}]},{"type":"function_call","name":"moor",'
      .. '"arguments":"{\\"pier\\":7}"}]}}',
  },
  gemini = {
    '{"candidates":[{"content":{"role":"model","parts":[{"text":"Hm, ","thought":true}]}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"Aho"}]}}]}',
    '{"candidates":[{"content":{"parts":[{"text":"y!"},{"functionCall":{"name":"moor",'
      .. '"args":{"pier":7}}}]}}],"usageMetadata":{"promptTokenCount":1}}',
  },
  ollama = {
    '{"model":"m","message":{"role":"assistant","content":"","thinking":"Hm, "},"done":false}',
    '{"model":"m","message":{"role":"assistant","content":"Aho"},"done":false}',
    '{"model":"m","message":{"role":"assistant","content":"y!","tool_calls":[{"function":'
      .. '{"name":"moor","arguments":{"pier":7}}}]},"done":true}',
  },
  cohere = {
    '{"type":"message-start","delta":{"message":{"role":"assistant","content":[]}}}',
    '{"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"Hm, "}}}}',
    '{"type":"content-delta","index":1,"delta":{"message":{"content":{"text":"Ahoy!"}}}}',
    '{"type":"tool-call-start","index":2,"delta":{"message":{"tool_calls":{"function":'
      .. '{"name":"moor","arguments":""}}}}}',
    '{"type":"tool-call-delta","index":2,"delta":{"message":{"tool_calls":{"function":'
      .. '{"arguments":"{\\"pier\\":7}"}}}}}',
  },
}

local WHOLE = {
  openai = '{"choices":[{"message":{"content":"Ahoy!","reasoning":"Hm, ","tool_calls":[{"function":'
    .. '{"name":"moor","arguments":"{\\"pier\\":7}"}}]}}]}',
  anthropic = '{"type":"message","role":"assistant","content":[{"type":"thinking","thinking":"Hm, "'
    .. '},{"type":"text","text":"Ahoy!"},{"type":"tool_use","name":"moor","input":{"pier":7}}]}',
  responses = '{"object":"response","output":[{"type":"reasoning","content":[{"text":"Hm, "}],'
    .. '"summary":[{"text":"x"}]},{"type":"message","content":[{"type":"output_text",'
    .. '"text":"Ahoy!"}]},{"type":"function_call","name":"moor","arguments":"{\\"pier\\":7}"}]}',
  gemini = '[{"candidates":[{"content":{"parts":[{"text":"Hm, ","thought":true},'
    .. '{"text":"Ahoy!"}]}}]},{"candidates":[{"content":{"parts":[{"functionCall":'
    .. '{"name":"moor","args":{"pier":7}}}]}}]}]',
  bedrock = '{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"Hm, "}}'
    .. '},{"text":"Ahoy!"},{"toolUse":{"name":"moor","input":{"pier":7}}}]}}}',
  mistral = '{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text",'
    .. '"text":"Hm, "}]},{"type":"text","text":"Ahoy!"}],"tool_calls":[{"function":{"name":"moor",'
    .. '"arguments":"{\\"pier\\":7}"}}]}}]}',
  ollama = '{"message":{"content":"Ahoy!","thinking":"Hm, ","tool_calls":[{"function":{"name":'
    .. '"moor","arguments":{"pier":7}}}]}}',
  dashscope = '{"output":{"choices":[{"message":{"content":"Ahoy!","reasoning_content":"Hm, ",'
    .. '"tool_calls":[{"function":{"name":"moor","arguments":"{\\"pier\\":7}"}}]}}]}}',
}

local ALL = { output = "Ahoy!", reasoning = "Hm, ", tool_calls = CALL }

function tests.each_dialect_has_its_text_its_thoughts_and_its_calls_collected()
  for name, events in pairs(STREAMS) do
    check.equal(received(events, ""), ALL, name .. ", streamed")
  end
  for name, body in pairs(WHOLE) do
    check.equal(received(body), ALL, name .. ", whole")
  end
end

function tests.older_and_plainer_answers_are_text_too()
  for _, body in ipairs({ '{"choices":[{"text":"Ahoy!"}]}', '{"response":"Ahoy!"}',
                          '{"text":"Ahoy!"}', '{"output":{"text":"Ahoy!"}}',
                          '{"choices":[{"message":{"refusal":"Ahoy!","content":null}}]}' }) do
    check.equal(received(body), { output = "Ahoy!" }, body)
  end
  check.equal(received({ '{"type":"transcript.text.delta","delta":"Ahoy!"}' }),
              { output = "Ahoy!" })
end

function tests.choices_and_calls_that_arrive_by_turns_stay_apart()
  local events = {}
  for i = 1, 6 do
    events[i] = ('{"choices":[{"index":%d,"delta":{"content":"%d","tool_calls":[{"index":%d,'
      .. '"function":{"name":"f%d","arguments":"%d"}}]}}]}'):format(i % 2, i, i % 2, i % 2, i)
  end
  local reported = received(events)
  check.equal(reported.output, { "135", "246" })
  check.equal(reported.tool_calls, { { name = "f1", arguments = "135" },
                                 { name = "f0", arguments = "246" } })
end

function tests.a_message_that_repeats_its_stream_at_the_end_is_taken_once()
  local stream = { '{"choices":[{"index":0,"delta":{"content":"Aho"}}]}',
                   '{"choices":[{"index":0,"delta":{"content":"y"}}]}',
                   '{"choices":[{"index":0,"message":{"role":"assistant","content":"Ahoy"}}]}' }
  check.equal(received(stream, ""), { output = "Ahoy" })
  stream[3] = stream[3]:gsub("Ahoy", "!")
  check.equal(received(stream, ""), { output = "Ahoy!" })
end

function tests.nothing_is_an_empty_answer_of_a_stream_and_none_of_an_embedding()
  check.equal(received({ '{"type":"message_start","message":{"content":[]}}' }, ""),
              { output = "" })
  check.equal(received('{"object":"list","data":[{"embedding":[0.5]}]}'), {})
  check.equal(received('{"data":[{"b64_json":"QUJD"}]}'), {})
end

function tests.a_long_stream_is_kept_as_its_text_and_beyond_the_bound_not_at_all()
  local events = {}
  for i = 1, 900 do
    events[i] = '{"id":"' .. ("x"):rep(500) .. '","choices":[{"delta":{"content":"ten bytes."}}]}'
  end
  check.equal(received(events, "", 9000), { output = ("ten bytes."):rep(900) })
  check.equal(received(events, "", 8999), nil)
  local collector = text.collector(cjson, 100)
  collector:keep('{"choices":[{"delta":{"content":"first"}}]}')
  collector:give_up()
  collector:keep('{"choices":[{"delta":{"content":"last"}}]}')
  check.equal(collector:received(""), nil, "an event was too long to be read")
end

function tests.pieces_of_a_whole_answer_are_one_text_and_beyond_the_bound_none()
  local body = WHOLE.openai
  for cut = 1, #body - 1 do
    local collector = text.collector(cjson, BYTES_MAX)
    collector:keep_piece(body:sub(1, cut))
    collector:keep_piece(body:sub(cut + 1))
    check.equal(collector:received(), ALL, "cut at " .. cut)
  end
  local half, long = text.collector(cjson, BYTES_MAX), text.collector(cjson, BYTES_MAX)
  half:keep_piece(body:sub(1, 40))
  check.equal(half:received(), { output = "Ahoy!" }, "half an answer is what came of it")
  for _ = 1, 20 do
    long:keep_piece((" "):rep(65536))
  end
  check.equal(long:received(), nil)
end

function tests.requests_that_only_count_or_store_use_no_tokens()
  for path, uses in pairs({ ["/v1/messages"] = true, ["/v1/chat/completions"] = true,
                            ["/v1/responses"] = true, ["/custom/generate"] = true,
                            ["/v1/messages/count_tokens"] = false, ["/v1/assistants"] = false,
                            ["/v1/responses/input_tokens"] = false,
                            ["/v1beta/models/g:countTokens"] = false,
                            ["/openai/deployments/files/chat/completions"] = true,
                            ["/v1beta/models/g:generateContent"] = true }) do
    check.equal(answer.is_without_tokens(path), not uses, path)
  end
end

function tests.endpoints_have_text_or_none_whatever_their_deployment_is_called()
  for path, has in pairs({ ["/openai/deployments/ticket-classifier/chat/completions"] = true,
                           ["/openai/deployments/Embed-helper/completions"] = true,
                           ["/v1beta/models/moderation-1:streamGenerateContent"] = true,
                           ["/model/score-1/converse-stream"] = true, ["/v1/messages"] = true,
                           ["/openai/deployments/gpt/embeddings"] = false,
                           ["/v1beta/models/g:embedContent"] = false, ["/score"] = false,
                           ["/model/amazon.titan-embed-text-v2:0/invoke"] = false,
                           ["/v2/rerank"] = false, ["/v1/moderations"] = false }) do
    check.equal(answer.is_without_output(path), not has, path)
  end
end

-- JSON of any shape that a hostile upstream or client may make.
local function any(depth)
  local kind = math.random(depth > 0 and 8 or 6)
  if kind <= 6 then
    return ({ cjson.null, true, math.random(9), "x", "", -1.5 })[kind]
  end
  local names = { "choices", "delta", "message", "content", "type", "text", "tool_calls",
                  "function",
                  "candidates", "parts", "output", "response", "index", "item", "input",
                  "messages",
                  "tools", "thinking", "name", "arguments", "functionCall", "toolUse", "system",
                  "content_block", "reasoningContent", "query", "documents", "output_index" }
  local made = {}
  for i = 1, math.random(4) do
    made[kind == 7 and i or names[math.random(#names)]] = any(depth - 1)
  end
  if made.type and math.random(2) == 1 then
    made.type = ({ "content_block_delta", "content_block_start", "response.output_item.added",
                   "response.completed", "x.delta" })[math.random(5)]
  end
  return made
end

function tests.json_of_any_shape_is_taken()
  for _ = 1, 20000 do
    local object = any(5)
    local collector = text.collector(cjson, 2000)
    collector:add(object)
    local reported, sent = collector:received(""), requests.read(cjson, object)
    local line = text.write(cjson, sent, reported, nil, 4000)
    check.equal(line == nil or type(cjson.decode(line)) == "table", true, line)
  end
end

function tests.requests_of_each_dialect_have_their_parts()
  local messages, tools = { { role = "user", content = "hi" } }, { { name = "moor" } }
  for what, pair in pairs({
    openai = { { model = "m", messages = messages, tools = tools, stream = true },
               { messages = messages, tools = tools } },
    ["older functions"] = { { messages = messages, functions = tools },
                            { messages = messages, tools = tools } },
    completions = { { prompt = "hi" }, { input = "hi" } },
    ["completions with an end"] = { { prompt = "hi", suffix = "!" }, { input = { "hi", "!" } } },
    embeddings = { { input = { "a", "b" } }, { input = { "a", "b" } } },
    responses = { { input = "hi", instructions = "be brief", tools = tools,
                    reasoning = { effort = "low" } },
                  { input = "hi", instructions = "be brief", tools = tools } },
    anthropic = { { messages = messages, system = { { type = "text", text = "be brief" } } },
                  { messages = messages, system = { { type = "text", text = "be brief" } } } },
    gemini = { { contents = messages, systemInstruction = { parts = { { text = "be brief" } } },
                 tools = tools },
               { messages = messages, system = { parts = { { text = "be brief" } } },
                 tools = tools } },
    bedrock = { { messages = messages, toolConfig = { tools = tools } },
                { messages = messages, tools = tools } },
    ranking = { { query = "q", documents = { "a", "b" } }, { input = { "q", "a", "b" } } },
    dashscope = { { input = { messages = messages }, parameters = { tools = tools } },
                  { messages = messages, tools = tools } },
    ["a schema of the answer"] = {
      { messages = messages, response_format = { type = "json_schema", json_schema = tools[1] } },
      { messages = messages, response_format = { type = "json_schema", json_schema = tools[1] } } },
    ["a schema of responses"] = { { input = "hi", text = { format = { type = "json_object" } } },
                                  { input = "hi", response_format = { type = "json_object" } } },
    ["a schema of Gemini"] = {
      { contents = messages, generationConfig = { responseSchema = { type = "OBJECT" } } },
      { messages = messages, response_format = { type = "OBJECT" } } },
    ["a schema of Ollama"] = { { prompt = "hi", format = { type = "object" } },
                               { input = "hi", response_format = { type = "object" } } },
    ["plain text and the format of a sound"] = {
      { input = "hi", text = { format = { type = "text" } }, response_format = "mp3" },
      { input = "hi" } },
    nothing = { { model = "m", messages = {}, prompt = "", system = cjson.null }, false },
  }) do
    check.equal(requests.read(cjson, pair[1]) or false, pair[2], what)
  end
  check.equal(requests.read(cjson, nil), nil)
end

function tests.pictures_and_files_never_go_out_and_words_do()
  local base64 = ("QUJD"):rep(5000)
  local parts = {
    { type = "image_url", image_url = { url = "data:image/png;base64," .. base64 } },
    { type = "input_image", image_url = "data:image/png;base64," .. base64 },
    { type = "image", source = { type = "base64", data = base64 } },
    { inlineData = { mimeType = "image/png", data = base64 } },
    { type = "file", file = { file_data = base64 } },
    { type = "input_audio", input_audio = { data = base64 } },
    { type = "function_call_output", output = "data:image/png;base64," .. base64 },
  }
  local request = { messages = { { role = "user", content = parts, images = { base64 } } } }
  local line = text.write(cjson, requests.read(cjson, request), nil, nil, 4000)
  check.equal(line:find("QUJD", 1, true), nil)
  check.equal(#cjson.decode(line).messages[1].content, #parts)
  check.equal(request.messages[1].images, { base64 }, "the request itself is left alone")
  local words = { messages = { { content = { { type = "document",
                  source = { type = "text", data = ("some words "):rep(20) } } } } } }
  check.equal(requests.read(cjson, words), words)
  check.equal(requests.read(cjson, { input = base64 }), { input = base64 })
end

local function levels(value)
  local deepest = 0
  for _, inner in pairs(type(value) == "table" and value or {}) do
    deepest = math.max(deepest, levels(inner))
  end
  return type(value) == "table" and deepest + 1 or 0
end

function tests.what_is_nested_deeper_than_ingest_reads_goes_as_json_in_a_string()
  local schema = { description = "planted at the bottom" }
  for _ = 1, 200 do
    schema = { type = "object", properties = { inner = schema } }
  end
  local tools = { { name = "f", parameters = schema } }
  local sent = requests.read(cjson, { input = "hi", tools = tools })
  local line = text.write(cjson, sent, nil, nil, 100000)
  check.equal(levels(cjson.decode(line)) <= 14, true)
  check.equal(line:find("planted at the bottom", 1, true) ~= nil, true)
end

function tests.the_side_that_usage_lacks_is_written_and_what_is_too_long_is_not()
  local sent, reported = { input = "hi" }, { output = "Ahoy!" }
  local function of(usage, bytes_max, a, b)
    local line = text.write(cjson, a or sent, b or reported, usage, bytes_max or 1000)
    return line and cjson.decode(line)
  end
  check.equal(of(nil), { input = "hi", output = "Ahoy!" })
  check.equal(of({ input_tokens = 0 }), { output = "Ahoy!" })
  check.equal(of({ output_tokens = 7 }), { input = "hi" })
  check.equal(of({ input_tokens = 1, output_tokens = 7 }), nil)
  local long = ("x"):rep(2000)
  check.equal(select(2, text.write(cjson, sent, reported, nil, 1000)), true)
  check.equal(select(2, text.write(cjson, { input = long }, reported, nil, 1000)), false)
  check.equal(select(2, text.write(cjson, nil, nil, nil, 1000)), true, "nothing is not too long")
  check.equal(of(nil, nil, { input = long }), { output = "Ahoy!" })
  check.equal(of(nil, nil, nil, { output = long }), { input = "hi" })
  check.equal(of(nil, nil, { input = long }, { output = long }), nil)
  check.equal(of(nil, nil, { input = "é\255船\232\136" }).input, "é?船??", "good letters stay")
end

return tests
