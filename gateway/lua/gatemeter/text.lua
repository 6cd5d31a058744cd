-- Collects what came back from a model, for ingest to count tokens from where the upstream reported
-- no usage: a collector reads an answer, whole or event by event; write() makes the `text` of an
-- event (docs/events.md) of it and of what was sent (sent.lua). Pure. What it keeps is bounded by
-- text_bytes_max. A part of an answer is never taken for the whole: beyond the bound there is no
-- text at all.
local event = require("gatemeter.event")
local loose = require("gatemeter.loose")
local values = require("gatemeter.values")

local text = {}
local filled, given, is_list = values.filled, values.given, values.is_list

-- A whole answer that is longer is not kept: what is that long has no text, or too much of it.
local BODY_BYTES_MAX = 1024 * 1024

-- The parts of one kind in the order in which they began, each a list of pieces.
local function pieces_of(list, key)
  local found = list[key]
  if not found then
    found = { key = key }
    list[key], list[#list + 1] = found, found
  end
  return found
end

local Collector = {}
Collector.__index = Collector

-- `json` has decode() and encode(); of a text longer than bytes_max nothing is kept. The lists of
-- parts are there only when something is to be taken apart (settle), which few answers are.
function text.collector(json, bytes_max)
  return setmetatable({ json = json, room = bytes_max, bytes_max = bytes_max, bytes = 0 },
                      Collector)
end

local function open_lists(self)
  if not self.said then
    self.said, self.thought, self.summed_up, self.calls = {}, {}, {}, {}
  end
end

function Collector:add_to(list, key, piece)
  if not filled(piece) or self.room < 0 then
    return
  end
  self.room = self.room - #piece
  if self.room < 0 then
    return self:give_up()
  end
  local pieces = pieces_of(list, key)
  pieces[#pieces + 1] = piece
end

function Collector:say(key, piece)
  self:add_to(self.said, key, piece)
end

function Collector:think(key, piece)
  self:add_to(self.thought, key, piece)
end

-- A call, or a piece of one: arguments come as pieces of text, or at once as an object.
function Collector:call(key, name, arguments)
  if type(arguments) == "table" then
    arguments = next(arguments) ~= nil and self.json.encode(arguments) or nil
  end
  if self.room < 0 or not (filled(name) or filled(arguments)) then
    return
  end
  local call = pieces_of(self.calls, key)
  -- Some repeat the name with each chunk.
  if filled(name) and not call.name then
    call.name, self.room = name, self.room - #name
  end
  self:add_to(self.calls, key, arguments)
end

-- Parts of Anthropic, Gemini, Bedrock, Mistral and OpenAI's responses.
function Collector:part(key, part)
  if type(part) ~= "table" then
    return self:say(key, part)
  end
  local called = part.functionCall or part.toolUse
  local thought = part.thinking or part.reasoningContent
  if filled(part.text) then
    if part.thought == true then
      return self:think(key, part.text)
    end
    return self:say(key, part.text)
  elseif filled(part.refusal) then
    self:say(key, part.refusal)
  elseif filled(thought) then
    self:think(key, thought)
  elseif type(thought) == "table" then
    local reported = thought.reasoningText
    for _, one in ipairs(type(reported) == "table" and { reported } or thought) do
      self:think(key, type(one) == "table" and one.text or one)
    end
  elseif type(called) == "table" then
    self:call(#self.calls + 1 .. key, called.name, called.args or called.input)
  elseif filled(part.name) and part.input ~= nil then
    self:call(key, part.name, part.input)
  elseif type(part.executableCode) == "table" then
    self:say(key, part.executableCode.code)
  end
end

function Collector:parts(key, parts)
  if type(parts) ~= "table" or parts.text or parts.thinking then
    return self:part(key, parts)
  end
  for i, part in ipairs(parts) do
    local is_call = type(part) == "table" and part.input ~= nil
    self:part(is_call and key .. "/" .. i or key, part)
  end
end

-- Reasoning, in a list of its own. Some chunks repeat everything before them.
function Collector:details(key, list)
  for _, one in ipairs(list) do
    local piece = type(one) == "table" and one.text
    if filled(piece) then
      local pieces = pieces_of(self.thought, key)
      local n = pieces.n_bytes or 0
      if n > 0 and #piece > n and piece:sub(1, n) == table.concat(pieces) then
        piece = piece:sub(n + 1)
      end
      pieces.n_bytes = n + #piece
      self:think(key, piece)
    end
  end
end

-- A message or a piece of one: of OpenAI and all that speak as it does, of Ollama and Cohere.
function Collector:message(key, message)
  self:parts(key, message.content)
  self:say(key, message.refusal)
  self:say(key, message.tool_plan)
  -- The same thought often has two names: one of them is enough.
  local thought = given(type(message.reasoning_content) == "string" and message.reasoning_content,
                        type(message.reasoning) == "string" and message.reasoning,
                        type(message.thinking) == "string" and message.thinking)
  if not thought and is_list(message.reasoning_details) then
    self:details(key, message.reasoning_details)
  end
  self:think(key, thought)
  -- Audio comes with its transcript.
  self:say(key, type(message.audio) == "table" and message.audio.transcript)
  local calls = message.tool_calls
  if type(calls) == "table" and not is_list(calls) then
    calls = { calls }
  end
  for i, call in ipairs(type(calls) == "table" and calls or {}) do
    if type(call) == "table" then
      local inner = given(call["function"], call.custom) or call
      inner = type(inner) == "table" and inner or call
      self:call(key .. "/" .. tostring(type(call.index) == "number" and call.index or i - 1),
                inner.name, inner.arguments or inner.input)
    end
  end
  if type(message.function_call) == "table" then
    self:call(key .. "/f", message.function_call.name, message.function_call.arguments)
  end
end

-- Items of the answer of OpenAI's responses.
function Collector:item(key, item)
  if type(item) ~= "table" then
    return
  end
  if item.type == "reasoning" then
    local thoughts = is_list(item.content) and item.content or item.summary
    for _, one in ipairs(type(thoughts) == "table" and thoughts or {}) do
      self:think(key, type(one) == "table" and one.text or nil)
    end
  elseif filled(item.name) then
    self:call(key, item.name, item.arguments or item.input)
  else
    self:parts(key, item.content)
  end
end

function Collector:items(items)
  for i, item in ipairs(items) do
    self:item("item/" .. i - 1, item)
  end
end

function Collector:has_any()
  return #self.said + #self.thought + #self.summed_up + #self.calls > 0
end

-- An event whose piece of text is a string: OpenAI's responses and transcriptions.
function Collector:typed_delta(kind, object)
  local at = type(object.output_index) == "number" and object.output_index or 0
  local key = "item/" .. at
  if kind:find("audio%.delta$") then
    return
  elseif kind:find("reasoning_summary", 1, true) then
    self:add_to(self.summed_up, key, object.delta)
  elseif kind:find("reasoning", 1, true) then
    self:think(key, object.delta)
  elseif kind:find("arguments", 1, true) or kind:find("tool_call_input", 1, true) then
    self:call(key, nil, object.delta)
  else
    self:say(key, object.delta)
  end
end

-- Events of Anthropic, Cohere and OpenAI's responses, which say what they are.
function Collector:typed(kind, object)
  local delta, index = object.delta, type(object.index) == "number" and object.index or 0
  if kind:find("delta$") and filled(delta) then
    self:typed_delta(kind, object)
  elseif kind:find("^content_block") then
    local block = type(delta) == "table" and delta or object.content_block
    if type(block) == "table" and filled(block.partial_json) then
      self:call("block/" .. index, nil, block.partial_json)
    elseif type(block) == "table" then
      self:part("block/" .. index, block)
    end
  elseif type(delta) == "table" and type(delta.message) == "table" then
    self:message("block/" .. index, delta.message)
  elseif kind == "response.output_item.added" and type(object.item) == "table" then
    local at = type(object.output_index) == "number" and object.output_index or 0
    self:call("item/" .. at, object.item.name, nil)
  elseif kind:find("^response%.") or kind:find("%.done$") then
    -- What is done repeats what came before it.
    local response = type(object.response) == "table" and object.response or {}
    if not self:has_any() then
      self:items(is_list(response.output) and response.output or {})
      self:say("item/0", object.text)
    end
  else
    return false
  end
  return true
end

local function index_of(choice, i)
  return "choice/" .. tostring(type(choice.index) == "number" and choice.index or i - 1)
end

-- MiniMax ends a stream with the message as a whole.
function Collector:is_repeated(key, message)
  local pieces = self.said[key]
  return pieces ~= nil and table.concat(pieces) == message.content
end

-- A whole answer, or an event of one, decoded.
function Collector:add(object)
  if type(object) ~= "table" or self.room < 0 then
    return
  end
  open_lists(self)
  if is_list(object) then
    for _, one in ipairs(object) do
      self:add(one)
    end
  elseif type(object.choices) == "table" then
    for i, choice in ipairs(object.choices) do
      if type(choice) == "table" then
        local key, message = index_of(choice, i), choice.message
        if type(choice.delta) == "table" then
          self:message(key, choice.delta)
        elseif type(message) == "table" and not self:is_repeated(key, message) then
          self:message(key, message)
        end
        self:say(key, choice.text)
      end
    end
  elseif type(object.candidates) == "table" then
    for i, candidate in ipairs(object.candidates) do
      if type(candidate) == "table" and type(candidate.content) == "table" then
        self:parts(index_of(candidate, i), candidate.content.parts)
      end
    end
  elseif type(object.type) == "string" and self:typed(object.type, object) then
    return
  elseif is_list(object.output) then
    self:items(object.output)
  elseif type(object.output) == "table" then
    self:add(object.output)
  elseif type(object.message) == "table" then
    self:message("message", object.message)
  elseif type(object.response) == "table" then
    self:add(object.response)
  else
    self:parts("message", object.content)
    self:say("message", object.response)
    self:say("message", object.text)
    self:think("message", object.thinking)
  end
end

-- The JSON of one event of a stream. It is decoded only if the text is requested, which few do, or
-- once there is as much of it as may be kept.
function Collector:keep(data)
  if self.room < 0 or self.bytes_max == 0 then
    return
  end
  local raw = self.raw or {}
  self.raw, raw[#raw + 1] = raw, data
  self.bytes = self.bytes + #data
  if self.bytes > self.bytes_max then
    self:settle()
  end
end

-- A piece of a whole answer.
function Collector:keep_piece(chunk)
  if self.room < 0 or self.bytes_max == 0 then
    return
  end
  self.pieces = self.pieces or {}
  self.pieces[#self.pieces + 1] = chunk
  self.bytes = self.bytes + #chunk
  if self.bytes > BODY_BYTES_MAX then
    self:give_up()
  end
end

-- Something was too long to be kept, or cannot be read: what is here is not the whole.
function Collector:give_up()
  self.room, self.raw, self.pieces, self.bytes = -1, nil, nil, 0
  self.said = nil
  open_lists(self)
end

function Collector:settle()
  local raw = self.pieces and loose.values(self.json.decode, table.concat(self.pieces))
    or self.raw or {}
  self.raw, self.pieces, self.bytes = nil, nil, 0
  open_lists(self)
  for i = 1, #raw do
    self:add(self.json.decode(raw[i]))
  end
end

local function texts_of(list)
  local texts = {}
  for i, pieces in ipairs(list) do
    texts[i] = table.concat(pieces)
  end
  return #texts > 1 and texts or texts[1]
end

-- The parts of the answer; `nothing` is the output where there is none of any kind: "" of a stream,
-- for that is what was received, nil of an answer that has no text by its nature. The second value
-- says whether all of it was kept.
function Collector:received(nothing)
  self:settle()
  if self.room < 0 or self.bytes_max == 0 then
    return nil, self.room >= 0
  end
  local calls = {}
  for i, call in ipairs(self.calls) do
    calls[i] = { name = call.name, arguments = table.concat(call) }
  end
  return {
    output = texts_of(self.said) or not self:has_any() and nothing or nil,
    reasoning = texts_of(self.thought) or texts_of(self.summed_up),
    tool_calls = #calls > 0 and calls or nil,
  }, true
end

local function encoded(json, parts, bytes_max)
  local ok, line = pcall(json.encode, parts)
  if not ok or not line or #line > bytes_max then
    return nil
  end
  return event.utf8(line)
end

-- The text of an event as JSON: the sides that `usage` lacks. Where both are too long together, the
-- answer alone, or what was sent; nil if there is nothing to count. The second value says whether
-- all of it fits.
function text.write(json, sent, received, usage, bytes_max)
  usage = usage or {}
  sent = not usage.input_tokens and sent or {}
  received = not usage.output_tokens and received or {}
  local both = {}
  for _, side in ipairs({ sent, received }) do
    for name, value in pairs(side) do
      both[name] = value
    end
  end
  for _, parts in ipairs({ both, received, sent }) do
    local line = next(parts) and encoded(json, parts, bytes_max)
    if line then
      return line, parts == both
    end
  end
  return nil, next(both) == nil
end

return text
