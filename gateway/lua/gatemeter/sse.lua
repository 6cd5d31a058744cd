-- Reads server-sent events out of a byte stream that may be cut anywhere.
-- Bytes go in by feed(), the data of each event goes out to on_data(), in order and without copies
-- of what is not needed. It looks on only: it must never delay, change or keep the stream, and its
-- memory is bounded whatever the upstream sends.
local sse = {}
sse.__index = sse

local CR, LF = 13, 10
-- An event with a whole answer in it (the last one of /v1/responses) has to fit.
sse.DATA_BYTES_MAX = 1024 * 1024
-- Of what does not fit the end is kept, for usage stands near it.
sse.TAIL_BYTES = 16 * 1024

-- on_data(data) gets the data of one event; on_long(tail) the end of one that was too long.
function sse.new(on_data, on_long, data_bytes_max)
  return setmetatable({
    on_data = on_data,
    on_long = on_long,
    bytes_max = data_bytes_max or sse.DATA_BYTES_MAX,
    parts = {}, n_parts = 0, bytes = 0,
    data = nil, first_line = true, skip_lf = false, long = false,
  }, sse)
end

local function shrink(self)
  local text = table.concat(self.parts, "", 1, self.n_parts)
  local tail = text:sub(-sse.TAIL_BYTES)
  self.parts, self.n_parts, self.bytes, self.long = { tail }, 1, #tail, true
end

local function keep(self, piece)
  self.n_parts = self.n_parts + 1
  self.parts[self.n_parts] = piece
  self.bytes = self.bytes + #piece
  if self.bytes > self.bytes_max then
    shrink(self)
  end
end

local function dispatch(self)
  local data = self.data
  self.data = nil
  if data then
    self.on_data(data)
  end
end

local function on_line(self, line)
  if self.first_line then
    self.first_line = false
    if line:sub(1, 3) == "\239\187\191" then
      line = line:sub(4)
    end
  end
  if line == "" then
    return dispatch(self)
  end
  if line:sub(1, 5) ~= "data:" then
    return
  end
  local value = line:sub(line:byte(6) == 32 and 7 or 6)
  if not self.data then
    self.data = value
  elseif #self.data + #value < self.bytes_max then
    self.data = self.data .. "\n" .. value
  else
    self.on_long(value:sub(-sse.TAIL_BYTES))
    self.data = nil
  end
end

local function end_line(self, rest)
  local line = rest
  if self.n_parts > 0 then
    self.parts[self.n_parts + 1] = rest
    line = table.concat(self.parts, "", 1, self.n_parts + 1)
    self.parts, self.n_parts, self.bytes = {}, 0, 0
  end
  if self.long or #line > self.bytes_max then
    self.long, self.first_line = false, false
    return self.on_long(line:sub(-sse.TAIL_BYTES))
  end
  on_line(self, line)
end

function sse:feed(chunk)
  local at, size = 1, #chunk
  if size == 0 then
    return
  end
  if self.skip_lf then
    self.skip_lf = false
    if chunk:byte(1) == LF then
      at = 2
    end
  end
  while at <= size do
    local stop = chunk:find("[\r\n]", at)
    if not stop then
      return keep(self, chunk:sub(at))
    end
    end_line(self, chunk:sub(at, stop - 1))
    if chunk:byte(stop) == CR then
      if stop == size then
        self.skip_lf = true
      elseif chunk:byte(stop + 1) == LF then
        stop = stop + 1
      end
    end
    at = stop + 1
  end
end

-- At the end of the stream: an event without its blank line still has its usage read.
function sse:finish()
  if self.n_parts > 0 then
    end_line(self, "")
  end
  dispatch(self)
end

return sse
