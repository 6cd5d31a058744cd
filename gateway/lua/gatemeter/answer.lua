-- Reads what an answer says about itself: model, usage, a failure, the moment of the first token.
-- Chunks of the body go in by feed() as they pass; finish() gives a table; received() texts. The
-- format is detected from the bytes (sniff.lua), after decompression (inflate.lua): server-sent
-- events and NDJSON go event by event through on_data(), everything else in JSON through scan.lua.
-- Pure; what it keeps is bounded, and it must never touch what the client gets.
local delta = require("gatemeter.delta")
local failure = require("gatemeter.failure")
local inflate = require("gatemeter.inflate")
local scan = require("gatemeter.scan")
local shapes = require("gatemeter.shapes")
local sniff = require("gatemeter.sniff")
local sse = require("gatemeter.sse")
local text = require("gatemeter.text")
local usage = require("gatemeter.usage")
local whole = require("gatemeter.whole")

local answer = {}
answer.__index = answer

local OPEN_OBJECT = 123
-- Prompts of one request whose usages are kept apart.
local PROMPTS_MAX = 1024

local MODEL_NAMES = { "model", "modelVersion", "model_version" }
local MODEL_PLACES = { "response", "message", "interaction" }

local function model_in(object)
  for i = 1, #MODEL_NAMES do
    local name = object[MODEL_NAMES[i]]
    if type(name) == "string" and name ~= "" then
      return name
    end
  end
end

local function model_of(event)
  local model = model_in(event)
  for i = 1, #MODEL_PLACES do
    local inner = event[MODEL_PLACES[i]]
    model = model or type(inner) == "table" and model_in(inner) or nil
  end
  return model
end

local function nothing()
  return nil
end

-- options: decode(text), a JSON decoder that returns nil for what it cannot read, and encode(), its
-- other side, without which calls whose arguments are objects are not kept; clock(), asked once, at
-- the first token; content_type and content_encoding of the answer; text_bytes_max, which
-- bounds what is kept to count tokens from (0 keeps nothing); without_output, for endpoints whose
-- answers are no text; may_echo, for those whose whole answers may repeat the prompt alone.
function answer.new(options)
  local self = setmetatable({
    decode = options.decode, clock = options.clock, content_type = options.content_type,
    without_output = options.without_output or false, may_echo = options.may_echo or false,
    text = text.collector({ decode = options.decode, encode = options.encode or nothing },
                          options.text_bytes_max or 0),
    head = "", reported = { stream = false }, n_values = 0, usages = {}, n_prompts = 0,
  }, answer)
  self.encoding = sniff.encoding(options.content_encoding)
  return self
end

local function matches(path, patterns)
  path = path:lower()
  for i = 1, #patterns do
    if path:find(patterns[i]) then
      return true
    end
  end
  return false
end

-- Whether the endpoint of a path answers with something else than text.
function answer.is_without_output(path)
  return matches(path, shapes.WITHOUT_OUTPUT) and not matches(path, shapes.WITH_OUTPUT)
end

-- Whether the endpoint of a path bills no tokens.
function answer.is_without_tokens(path)
  return matches(path, shapes.WITHOUT_TOKENS) and not matches(path, shapes.WITH_OUTPUT)
end

-- Adds the usage that an event reports. With more prompts than are tracked, the usage is unknown.
local function take_usage(self, event)
  local found = usage.find(event)
  if not found then
    return
  end
  local prompt = usage.prompt_of(event) or ""
  if not self.usages[prompt] then
    if self.n_prompts == PROMPTS_MAX then
      self.has_too_many = true
      return
    end
    self.n_prompts = self.n_prompts + 1
  end
  self.usages[prompt] = usage.merge(self.usages[prompt], found)
end

-- Takes what a decoded event, or the members of it that matter, says.
local function absorb(self, event, name)
  local reported = self.reported
  reported.model = reported.model or model_of(event)
  take_usage(self, event)
  reported.error_type = reported.error_type or failure.find(event, name)
end

local function find_first_token(self, event)
  if not self.reported.first_token and delta.bears_tokens(event) then
    self.reported.first_token = self.clock()
  end
end

-- Whether one of `words` is a member of the data that is not null. In a text they would stand
-- between escaped quotes.
local function speaks(data, words)
  for i = 1, #words do
    local _, stop = data:find(words[i], 1, true)
    while stop do
      if not data:find('^[%w_%-]*"?%s*:%s*null', stop + 1) then
        return true
      end
      _, stop = data:find(words[i], stop + 1, true)
    end
  end
  return false
end

-- An event, or a body, of any size: only its members that matter are decoded.
local function long(self, name, in_stream)
  return scan.new(function(members)
    self.n_values = self.n_values + 1
    self.first_value = self.first_value or self.came_at or self.clock()
    if members == self.last_members then
      return
    end
    self.last_members = members
    local event = self.decode(members)
    if type(event) == "table" then
      absorb(self, event, name)
    end
    if in_stream then
      self.reported.first_token = self.reported.first_token or self.first_value
    end
  end)
end

-- A body of JSON: decoded if it is short, scanned if not.
local function body(self)
  local function read(json)
    local object = self.decode(json)
    if type(object) ~= "table" then
      return false
    end
    self.n_values = 1
    absorb(self, object, nil)
    return true
  end
  return whole.new(function() return long(self, nil, false) end, self.clock, read,
                   function(time) self.came_at = time end)
end

function answer:on_data(data, name)
  local reported = self.reported
  if data == "[DONE]" then
    reported.done = true
    return
  end
  self.text:keep(data)
  -- Decoding each event would cost more than all the rest: most have nothing new after the first.
  local matters = name == "error" or not reported.first_token
    or not reported.model and data:find('"model', 1, true)
    or speaks(data, shapes.HINTS) or speaks(data, shapes.FAILURES)
  if not matters then
    return
  end
  local event = self.decode(data)
  if type(event) ~= "table" then
    reported.error_type = reported.error_type or failure.find(nil, name)
    if data:find("^%s*{") then
      -- Half of a surrogate pair, or nested too deeply: the members that matter may still be valid.
      local scanner = long(self, name, true)
      scanner:feed(data)
      scanner:finish()
    end
    return
  end
  find_first_token(self, event)
  absorb(self, event, name)
end

local function open(self, kind)
  self.kind = kind
  if kind == "events" or kind == "lines" then
    self.reported.stream = true
    self.parser = sse.new(function(data, name) self:on_data(data, name) end, function(name)
      self.text:give_up()
      return long(self, name, true)
    end, { lines = kind == "lines" })
  elseif kind == "json" then
    self.parser = body(self)
  end
end

local function feed_plain(self, chunk)
  if not self.kind then
    local kind, head = sniff.kind(self.head .. chunk, self.content_type)
    self.head = head
    if not kind then
      return
    end
    chunk, self.head = head, ""
    open(self, kind)
  end
  if self.kind == "json" then
    self.text:keep_piece(chunk)
  end
  if self.parser then
    self.parser:feed(chunk)
  end
end

-- A compressed answer that cannot be read reports nothing, and is marked as unreadable.
local function give_up(self, encoding)
  self.reported = { stream = false, unreadable = encoding }
  self.kind, self.parser, self.usages = "other", nil, {}
  self.text:give_up()
end

-- Chooses the reader by the first bytes; false if they are too few.
local function begin(self, head)
  local packing = sniff.packing(head)
  if packing == nil then
    return false
  end
  -- gzip and zstd have magic bytes, which are right where a header is not.
  local encoding = self.encoding
  if not encoding or encoding == "gzip" or encoding == "zstd" then
    encoding = packing
  end
  self.begun, self.encoding = true, encoding
  if encoding == "gzip" or encoding == "deflate" then
    self.unpacker = inflate.new(function(bytes) feed_plain(self, bytes) end)
  end
  if encoding and not self.unpacker then
    give_up(self, encoding)
  end
  return true
end

function answer:feed(chunk)
  if not self.begun then
    chunk = self.head .. chunk
    self.head = chunk
    if chunk == "" or not begin(self, chunk) then
      return
    end
    self.head = ""
  end
  if self.kind == "other" then
    return
  end
  if not self.unpacker then
    return feed_plain(self, chunk)
  end
  if not self.unpacker:feed(chunk) then
    give_up(self, self.encoding)
  end
end

-- Whether the answer has brought text. To look into a whole one costs more, and hardly any is asked
-- for; one that used no token of its own may repeat the prompt.
local function has_text(self, counts)
  if self.reported.first_token then
    return true
  elseif self.without_output or self.may_echo and (counts.input or 0) > 0 then
    return false
  end
  self.text:settle()
  return self.text:has_any()
end

-- Several values are a stream, but for a list of things (ranks, labels, models).
local function is_stream_of_values(self)
  local reported, scanner = self.reported, self.parser.scanner
  return self.n_values > 1 and self.n_prompts < 2
    and not (scanner.in_array and self.n_prompts == 0
             and not reported.model and not reported.error_type)
end

-- { stream, model, first_token, done, error_type, unreadable = encoding, foreign = true for what is
-- neither events nor JSON (sound, a page), usage = that of a native event, repaired,
-- mismatch = form, absent = { input, output } for a usage without that side, another_unit = true
-- for a bill that has no tokens }
function answer:finish()
  if not self.begun and self.head ~= "" then
    local head = self.head
    self.begun, self.head = true, ""
    feed_plain(self, head)
  end
  if self.unpacker then
    self.unpacker:finish()
  end
  if self.parser then
    self.parser:finish()
  end
  local reported = self.reported
  reported.foreign = self.kind == "other" and not reported.unreadable or nil
  if self.kind == "json" and is_stream_of_values(self) then
    reported.stream, reported.first_token = true, self.first_value
  elseif not self.kind or reported.unreadable then
    -- Where the bytes are inconclusive, the content type decides.
    reported.stream = sniff.is_stream(self.content_type)
  end
  local says
  reported.usage, says = usage.settle(not self.has_too_many and usage.sum(self.usages) or nil, {
    without_output = self.without_output,
    saw_text = function(counts) return has_text(self, counts) end,
  })
  reported.repaired, reported.mismatch, reported.absent = says.repaired, says.mismatch, says.absent
  reported.another_unit = says.another_unit
  return reported
end

-- Fast path for the usual answer: one object in one piece, with a usage, and nothing unusual. The
-- result is that of finish(), without a reader, which costs more than decoding; nil for every other
-- answer. options: decode, content_type, content_encoding, without_output.
function answer.of_object(json, options)
  if json:byte() ~= OPEN_OBJECT or #json > whole.BYTES_MAX
    or sniff.is_lines(options.content_type) or sniff.encoding(options.content_encoding) then
    return nil
  end
  local object = options.decode(json)
  local found = type(object) == "table" and usage.find(object)
  if not found or not found.main or found.main.output == 0 or failure.find(object, nil) then
    return nil
  end
  local counts, says = usage.settle(found, options)
  return { stream = false, model = model_of(object), usage = counts, repaired = says.repaired,
           mismatch = says.mismatch, absent = says.absent }
end

-- The parts of the answer from which tokens can be counted; nil if there are none, or if it was too
-- long to be kept, in which case the second value is false.
function answer:received()
  if self.without_output then
    return nil, true
  end
  return self.text:received(self.reported.stream and "" or nil)
end

return answer
