-- Takes of a request what was sent to a model, for ingest to count tokens from (text.lua). A
-- decoded request goes in, parts of docs/events.md come out. Pure; images and files never go out,
-- nor anything that a provider does not bill as input.
local values = require("gatemeter.values")

local sent = {}
local filled, given, is_list = values.filled, values.given, values.is_list

-- Ingest reads 16 levels; the event and its text are two of them. What is nested deeper goes as the
-- JSON that it is, in a string.
local LEVELS_MAX = 13
-- Shortest string that is taken for base64 by its letters and the name of its field.
local BASE64_BYTES_MIN = 64

-- Fields that hold images, audio and files, as base64 or as a data URL.
local MEDIA = {}
for _, name in ipairs({ "data", "url", "image_url", "b64_json", "bytes", "image", "images",
                        "file_data", "audio", "video", "video_url", "input_audio" }) do
  MEDIA[name] = true
end

local function is_media(field, value)
  if field == "output" then
    -- The result of a tool is text, unless it is an image.
    return value:find("^data:[^,]*;base64,") ~= nil
  end
  return MEDIA[field] and (value:find("^data:") ~= nil
    or #value >= BASE64_BYTES_MIN and not value:find("[^%w+/=_%-]"))
end

-- A copy without images and files, and no deeper than `left` levels.
local function tidy(json, value, field, left)
  if type(value) == "string" then
    return is_media(field, value) and "" or value
  elseif type(value) ~= "table" then
    return value
  end
  local copy = setmetatable({}, getmetatable(value))
  for key, inner in pairs(value) do
    copy[key] = tidy(json, inner, type(key) == "string" and key or field, left - 1)
  end
  return left == 1 and json.encode(copy) or copy
end

local function joined(first, second)
  if not (is_list(first) and is_list(second)) then
    return first or second
  end
  local all = {}
  for _, list in ipairs({ first, second }) do
    for _, value in ipairs(list) do
      all[#all + 1] = value
    end
  end
  return all
end

-- Documents to be ranked, or contents to be embedded, each by its text.
local function each_of(list, member)
  local all = {}
  for i, one in ipairs(list) do
    all[i] = type(one) == "table" and one[member] or one
  end
  return all
end

-- What is to be embedded, completed or ranked, where it is no chat.
local function input_of(request)
  local input = given(request.input, request.prompt, request.inputs, request.texts,
                      request.inputText)
  local ranked = given(request.documents, request.texts)
  if filled(request.query) and is_list(ranked) then
    return joined({ request.query }, each_of(ranked, "text"))
  elseif filled(input) and filled(request.suffix) then
    return { input, request.suffix }
  end
  return input or given(type(request.message) == "string" and request.message)
end

local function options_of(request, name)
  return type(request[name]) == "table" and request[name] or {}
end

-- What the answer must look like, where it is not plain text: of OpenAI (its chats and responses),
-- Anthropic, Gemini and Ollama. For audio OpenAI uses the same name differently.
local function format_of(request)
  local gemini = options_of(request, "generationConfig")
  for _, format in ipairs({
    request.response_format or false, options_of(request, "text").format or false,
    options_of(request, "output_config").format or false, request.output_format or false,
    gemini.responseSchema or false, gemini.responseJsonSchema or false, request.format or false,
  }) do
    if type(format) == "table" and next(format) ~= nil and format.type ~= "text" then
      return format
    end
  end
end

-- The parts of a request, as OpenAI, Anthropic, Gemini, Bedrock, Ollama and Cohere name them, and
-- DashScope, which has them one level down; nil if there are none.
function sent.read(json, request)
  if type(request) ~= "table" then
    return nil
  end
  local inner = type(request.input) == "table" and request.input
  if inner and (inner.messages or inner.prompt) then
    local parameters = type(request.parameters) == "table" and request.parameters or {}
    request = { messages = inner.messages, input = inner.prompt, tools = parameters.tools,
                response_format = parameters.response_format }
  end
  local config = type(request.toolConfig) == "table" and request.toolConfig or {}
  local tools = given(request.tools, config.tools)
  if tools and not is_list(tools) then
    tools = { tools }
  end
  local parts = {
    messages = given(request.messages, request.contents,
                     type(request.content) == "table" and { request.content },
                     is_list(request.requests) and each_of(request.requests, "content")),
    input = input_of(request),
    system = given(request.system, request.systemInstruction, request.system_instruction),
    instructions = given(type(request.instructions) == "string" and request.instructions),
    tools = joined(tools, is_list(request.functions) and request.functions or nil),
    response_format = format_of(request),
  }
  for name, value in pairs(parts) do
    parts[name] = tidy(json, value, name, LEVELS_MAX)
  end
  return next(parts) and parts
end

return sent
