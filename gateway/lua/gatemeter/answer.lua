-- Reads what an answer says about itself: model, usage, the moment of the first token.
-- Chunks of the body go in by feed() as they pass; finish() gives a table. One reader for streams,
-- one for JSON. Pure; what it keeps is bounded, and it must never touch what the client gets.
local sse = require("gatemeter.sse")
local usage = require("gatemeter.usage")

local answer = {}

local JSON_BYTES_MAX = 1024 * 1024
local JSON_TAIL_BYTES = 64 * 1024
local HEAD_BYTES = 4096

local function filled(value)
  return type(value) == "string" and value ~= ""
end

local DELTA_TEXTS = { "content", "reasoning_content", "reasoning", "refusal", "text", "thinking",
                      "partial_json" }

local function delta_bears_tokens(delta)
  if type(delta) ~= "table" then
    return filled(delta)
  end
  for i = 1, #DELTA_TEXTS do
    if filled(delta[DELTA_TEXTS[i]]) then
      return true
    end
  end
  local calls = delta.tool_calls
  return type(calls) == "table" and next(calls) ~= nil or type(delta.function_call) == "table"
end

-- Whether an event of a stream carries a part of the answer, not only its frame.
function answer.bears_tokens(event)
  if type(event) ~= "table" then
    return false
  end
  if type(event.choices) == "table" then
    for _, choice in ipairs(event.choices) do
      if type(choice) == "table" and (delta_bears_tokens(choice.delta) or filled(choice.text)) then
        return true
      end
    end
    return false
  end
  if type(event.type) == "string" and event.type:find("delta$") then
    return delta_bears_tokens(event.delta)
  end
  return false
end

local function model_of(event)
  for _, object in ipairs({ event, event.response or false, event.message or false }) do
    if type(object) == "table" and filled(object.model) then
      return object.model
    end
  end
end

local function output_of(event, parts)
  if type(event.choices) == "table" then
    for _, choice in ipairs(event.choices) do
      local from = type(choice) == "table" and (choice.delta or choice.message)
      local text = type(from) == "table" and from.content or type(choice) == "table" and choice.text
      if filled(text) then
        parts[#parts + 1] = text
      end
    end
  elseif filled(event.delta) then
    parts[#parts + 1] = event.delta
  elseif type(event.delta) == "table" and filled(event.delta.text) then
    parts[#parts + 1] = event.delta.text
  end
end

local Stream = {}
Stream.__index = Stream

-- decode(text) is a JSON decoder that returns nil for what it cannot read; clock() is asked once,
-- at the first token; text_bytes_max bounds what is kept to count tokens from, 0 keeps nothing.
function answer.stream(decode, clock, text_bytes_max)
  local self = setmetatable({ decode = decode, clock = clock, told = { stream = true },
                              kept = {}, room = text_bytes_max or 0 }, Stream)
  self.parser = sse.new(function(data) self:on_data(data) end,
                        function(tail) self:on_long(tail) end)
  return self
end

function Stream:keep(data)
  self.room = self.room - #data
  if self.room > 0 then
    self.kept[#self.kept + 1] = data
  elseif #self.kept > 0 then
    -- A part of an answer would make wrong counts; unknown is better.
    self.kept = {}
  end
end

function Stream:on_data(data)
  local told = self.told
  if data == "[DONE]" then
    told.done = true
    return
  end
  if self.room > 0 then
    self:keep(data)
  end
  -- Decoding each event would cost more than all the rest: most have nothing new after the first.
  local has_usage = data:find('"usage"%s*:%s*{')
  if told.first_token and told.model and not has_usage then
    return
  end
  local event = self.decode(data)
  if type(event) ~= "table" then
    return
  end
  if not told.first_token and answer.bears_tokens(event) then
    told.first_token = self.clock()
  end
  told.model = told.model or model_of(event)
  local raw = has_usage and usage.find(event)
  if raw then
    self.raw = usage.merge(self.raw, raw)
  end
end

function Stream:on_long(tail)
  if not self.told.first_token then
    self.told.first_token = self.clock()
  end
  self.room, self.kept = 0, {}
  local raw = self.decode(usage.cut_from_tail(tail) or "")
  if type(raw) == "table" then
    self.raw = usage.merge(self.raw, raw)
  end
end

function Stream:feed(chunk)
  self.parser:feed(chunk)
end

function Stream:finish()
  self.parser:finish()
  self.told.usage = usage.read(self.raw)
  return self.told
end

-- The text of the answer, if all of it was kept.
function Stream:output()
  local parts = {}
  for _, data in ipairs(self.kept) do
    local event = self.decode(data)
    if type(event) == "table" then
      output_of(event, parts)
    end
  end
  return #parts > 0 and table.concat(parts) or nil
end

local Json = {}
Json.__index = Json

function answer.json(decode)
  return setmetatable({ decode = decode, parts = {}, bytes = 0, told = { stream = false } }, Json)
end

function Json:feed(chunk)
  self.parts[#self.parts + 1] = chunk
  self.bytes = self.bytes + #chunk
  if self.bytes > JSON_BYTES_MAX then
    local text = table.concat(self.parts)
    self.head = self.head or text:sub(1, HEAD_BYTES)
    local tail = text:sub(-JSON_TAIL_BYTES)
    self.parts, self.bytes = { tail }, #tail
  end
end

function Json:finish()
  local told, text = self.told, table.concat(self.parts)
  self.parts = { text }
  if self.head then
    told.model = self.head:match('"model"%s*:%s*"([^"\\]+)"')
    told.usage = usage.read(self.decode(usage.cut_from_tail(text) or ""))
    return told
  end
  local object = self.decode(text)
  if type(object) == "table" then
    self.object = object
    told.model = model_of(object)
    told.usage = usage.read(usage.find(object))
  end
  return told
end

function Json:output()
  local parts = {}
  if self.object then
    output_of(self.object, parts)
  end
  return #parts > 0 and table.concat(parts) or nil
end

return answer
