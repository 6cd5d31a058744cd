-- Extracts the relevant members from JSON of any size, in bounded memory. Bytes go in by feed(),
-- cut anywhere; for each value at the top (one body, a line of NDJSON, an element of an array)
-- on_value() gets a small JSON text with the members of TREE alone, each where it stood. So a
-- `usage` inside a string, in the arguments of a tool or anywhere else never counts. Pure; it must
-- never keep a value that was cut off, nor more than its bounds allow.
local ffi = require("ffi")

local scan = {}
scan.__index = scan

-- One value that is kept, such as `usage`; a real one has some hundred bytes.
local VALUE_BYTES_MAX = 64 * 1024
-- All values that are kept of one object.
local KEPT_BYTES_MAX = 256 * 1024
local KEY_BYTES_MAX = 64
-- Elements of an array in which members are looked for (`choices`).
local ELEMENTS_MAX = 128

local KEEP = true
local METADATA = { usage = KEEP, error = KEEP }
local FACTS = {
  usage = KEEP, usageMetadata = KEEP, usage_metadata = KEEP, meta = KEEP, meta_info = KEEP,
  timings = KEEP, ["amazon-bedrock-invocationMetrics"] = KEEP,
  prompt_eval_count = KEEP, eval_count = KEEP, tokens_evaluated = KEEP, tokens_predicted = KEEP,
  model = KEEP, modelVersion = KEEP, model_version = KEEP,
  error = KEEP, type = KEEP, object = KEEP, code = KEEP, status = KEEP, base_resp = KEEP,
  event_type = KEEP, finish_reason = KEEP, index = KEEP,
}

local function with(members)
  for name, value in pairs(FACTS) do
    members[name] = members[name] or value
  end
  return members
end

local CHOICE = { usage = KEEP, finish_reason = KEEP, error = KEEP, delta = METADATA,
                 message = METADATA }

-- Where facts stand: KEEP takes a value whole, a table goes into an object, `each` into an array.
scan.TREE = with({
  response = with({}), message = with({}), delta = with({}), result = with({}),
  interaction = with({}),
  data = METADATA, metadata = METADATA, x_groq = METADATA, choices = { each = CHOICE },
})

local QUOTE, BACKSLASH = 34, 92
local OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY = 123, 125, 91, 93

-- Bytes that change the nesting or begin a string; bytes between values.
local STRUCTURE = ffi.new("uint8_t[256]")
local BETWEEN = ffi.new("uint8_t[256]")
for _, byte in ipairs({ QUOTE, OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY }) do
  STRUCTURE[byte] = 1
end
-- All that literal() ends at is here, in STRUCTURE or both, so that each step goes forward.
for _, byte in ipairs({ 9, 10, 11, 12, 13, 30, 32, 44, 58 }) do
  BETWEEN[byte] = 1
end

-- on_value(text, whole): `whole` is false for a value that the end of the bytes has cut off.
function scan.new(on_value)
  return setmetatable({
    on_value = on_value, mode = "members", stack = {}, depth = 0, in_array = false,
    kept = {}, n_kept = 0, kept_bytes = 0, pieces = {}, n_pieces = 0, piece_bytes = 0,
    capture = false, from = 1, level = 0, odd = false, is_key = false, key = nil,
  }, scan)
end

local function put(self, text)
  self.n_kept = self.n_kept + 1
  self.kept[self.n_kept] = text
  self.kept_bytes = self.kept_bytes + #text
end

local function put_member(self)
  local top = self.stack[self.depth]
  if top.n_members > 0 then
    put(self, ",")
  end
  top.n_members = top.n_members + 1
  if not top.is_array then
    put(self, '"' .. self.key .. '":')
  end
end

local function drop(self)
  self.capture = false
  self.pieces, self.n_pieces, self.piece_bytes = {}, 0, 0
end

local function keep_piece(self, chunk, from, to)
  if not self.capture or to < from then
    return
  end
  local max = self.is_key and KEY_BYTES_MAX or VALUE_BYTES_MAX
  self.piece_bytes = self.piece_bytes + to - from + 1
  if self.piece_bytes > max or self.kept_bytes + self.piece_bytes > KEPT_BYTES_MAX then
    return drop(self)
  end
  self.n_pieces = self.n_pieces + 1
  self.pieces[self.n_pieces] = chunk:sub(from, to)
end

local function begin(self, mode, at, capture)
  self.mode, self.capture, self.from = mode, capture, at
  return at
end

-- A key, or a value at a level that is looked into, has ended before or at `to`.
local function complete(self, chunk, to)
  keep_piece(self, chunk, self.from, to)
  self.mode = "members"
  local text = self.capture and table.concat(self.pieces, "", 1, self.n_pieces) or nil
  drop(self)
  if self.is_key then
    self.is_key = false
    self.key = text and text:sub(2, -2) or ""
    return
  end
  if text then
    put_member(self)
    put(self, text)
  end
  self.key = nil
end

local function push(self, node, is_array)
  self.depth = self.depth + 1
  local top = self.stack[self.depth] or {}
  self.stack[self.depth] = top
  top.node, top.is_array, top.n_members, top.n_elements = node, is_array, 0, 0
  put(self, is_array and "[" or "{")
  self.key = nil
end

local function emit(self, whole)
  local text = table.concat(self.kept, "", 1, self.n_kept)
  self.kept, self.n_kept, self.kept_bytes = {}, 0, 0
  self.on_value(text, whole)
end

local function pop(self)
  put(self, self.stack[self.depth].is_array and "]" or "}")
  self.depth = self.depth - 1
  self.key = nil
  if self.depth == 0 then
    emit(self, true)
  end
end

-- What is wanted of the value that begins: KEEP, a node to go into, or nil.
local function wanted(self)
  if self.depth == 0 then
    return scan.TREE
  end
  local top = self.stack[self.depth]
  if not top.is_array then
    return self.key and top.node[self.key]
  end
  top.n_elements = top.n_elements + 1
  return top.n_elements <= ELEMENTS_MAX and top.node.each or nil
end

local function begin_container(self, at, byte)
  if self.depth == 0 and not self.in_array and byte == OPEN_ARRAY then
    self.in_array = true
    return at + 1
  end
  local node, is_array = wanted(self), byte == OPEN_ARRAY
  if type(node) == "table" and is_array == (node.each ~= nil) then
    if self.depth > 0 then
      put_member(self)
    end
    push(self, node, is_array)
    return at + 1
  end
  self.level = 0
  return begin(self, "nested", at, node == KEEP)
end

local modes = {}

-- Between the members of a level that is looked into, or at the top.
function modes.members(self, chunk, at, size)
  local bytes = ffi.cast("const uint8_t *", chunk)
  local i = at - 1
  while i < size and BETWEEN[bytes[i]] == 1 do
    i = i + 1
  end
  if i == size then
    return size + 1
  end
  local byte = bytes[i]
  at = i + 1
  if byte == OPEN_OBJECT or byte == OPEN_ARRAY then
    return begin_container(self, at, byte)
  end
  if byte == CLOSE_OBJECT or byte == CLOSE_ARRAY then
    if self.depth > 0 then
      pop(self)
    end
    return at + 1
  end
  local top = self.stack[self.depth]
  if byte == QUOTE then
    self.is_key = self.depth > 0 and not top.is_array and self.key == nil
    begin(self, "string", at, self.is_key or self.depth > 0 and wanted(self) == KEEP)
    self.odd, self.level = false, 0
    return at + 1
  end
  return begin(self, "literal", at, self.depth > 0 and wanted(self) == KEEP)
end

function modes.string(self, chunk, at, size)
  local stop = chunk:find('"', at, true)
  local last = stop and stop - 1 or size
  local first = last
  while first >= at and chunk:byte(first) == BACKSLASH do
    first = first - 1
  end
  local odd = (last - first) % 2 == 1
  if first < at and self.odd then
    odd = not odd
  end
  if not stop then
    self.odd = odd
    return size + 1
  end
  self.odd = false
  if odd then
    return stop + 1
  end
  if self.level > 0 then
    self.mode = "nested"
  else
    complete(self, chunk, stop)
  end
  return stop + 1
end

-- Inside a container that is kept or passed over as a whole.
function modes.nested(self, chunk, at, size)
  local bytes = ffi.cast("const uint8_t *", chunk)
  local i, level = at - 1, self.level
  while i < size do
    local byte = bytes[i]
    if STRUCTURE[byte] == 1 then
      if byte == QUOTE then
        self.mode, self.odd, self.level = "string", false, level
        return i + 2
      end
      level = level + ((byte == OPEN_OBJECT or byte == OPEN_ARRAY) and 1 or -1)
      if level == 0 then
        self.level = 0
        complete(self, chunk, i + 1)
        return i + 2
      end
    end
    i = i + 1
  end
  self.level = level
  return size + 1
end

function modes.literal(self, chunk, at)
  local stop = chunk:find("[%s,:}%]\"%[{]", at)
  if not stop then
    return #chunk + 1
  end
  complete(self, chunk, stop - 1)
  return stop
end

function scan:feed(chunk)
  local at, size = 1, #chunk
  self.from = 1
  while at <= size do
    at = modes[self.mode](self, chunk, at, size)
  end
  if self.mode ~= "members" then
    keep_piece(self, chunk, self.from, size)
  end
end

-- Whether a member of the object that is being read has been kept, by its text with the colon.
function scan:has_kept(member)
  for i = 1, self.n_kept - 1 do
    if self.kept[i] == member then
      return true
    end
  end
  return false
end

-- Members that were complete before the end of the bytes are still reported.
function scan:finish()
  drop(self)
  if self.depth == 0 then
    return
  end
  for depth = self.depth, 1, -1 do
    put(self, self.stack[depth].is_array and "]" or "}")
  end
  self.depth = 0
  emit(self, false)
end

return scan
