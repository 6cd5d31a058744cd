-- Reads server-sent events out of a byte stream that may be cut anywhere.
-- Bytes go in by feed(), the data of each event goes out to on_data(), in order and without copies
-- of what is not needed. It looks on only: it must never delay, change or keep the stream, and its
-- memory is bounded whatever the upstream sends.
local sse = {}
sse.__index = sse

local CR, LF = 13, 10
-- An event with a whole answer in it (the last one of /v1/responses) has to fit.
sse.DATA_BYTES_MAX = 1024 * 1024

-- on_data(data, name) gets the data and the name of one event. For one that is too long on_long()
-- is asked for a sink with feed(piece) and finish(), which gets the same data as it comes.
-- `lines`: each line is an event (NDJSON).
function sse.new(on_data, on_long, options)
  options = options or {}
  return setmetatable({
    on_data = on_data,
    on_long = on_long,
    bytes_max = options.data_bytes_max or sse.DATA_BYTES_MAX,
    lines = options.lines or false,
    parts = {}, n_parts = 0, bytes = 0,
    data = {}, n_data = 0, data_bytes = 0, name = nil,
    sink = nil, passing = false, first_line = true, skip_lf = false,
  }, sse)
end

-- The data in a line, or nil.
local function data_of(self, line)
  if self.first_line then
    self.first_line = false
    if line:sub(1, 3) == "\239\187\191" then
      line = line:sub(4)
    end
  end
  if self.lines then
    return line
  end
  if line:sub(1, 5) == "data:" then
    return line:sub(line:byte(6) == 32 and 7 or 6)
  end
  if line:sub(1, 6) == "event:" then
    self.name = line:sub(line:byte(7) == 32 and 8 or 7)
  elseif line:sub(1, 6) == "error:" then
    -- No field of the standard: llama.cpp has sent errors so.
    self.name = "error"
    return line:sub(line:byte(7) == 32 and 8 or 7)
  end
end

local function to_sink(self, data)
  self.sink = self.sink or self.on_long(self.name)
  for i = 1, self.n_data do
    self.sink:feed(self.data[i])
    self.sink:feed("\n")
  end
  self.data, self.n_data, self.data_bytes = {}, 0, 0
  self.sink:feed(data)
end

-- The line has become longer than an event may be: from here on it is passed along.
local function spill(self)
  local text = table.concat(self.parts, "", 1, self.n_parts)
  self.parts, self.n_parts, self.bytes = {}, 0, 0
  if not self.passing then
    self.passing = true
    text = data_of(self, text)
    self.in_data = text ~= nil
  end
  if self.in_data then
    to_sink(self, text)
  end
end

local function keep(self, piece)
  self.n_parts = self.n_parts + 1
  self.parts[self.n_parts] = piece
  self.bytes = self.bytes + #piece
  if self.passing or self.bytes > self.bytes_max then
    spill(self)
  end
end

local function dispatch(self)
  local data, n_data, name, sink = self.data, self.n_data, self.name, self.sink
  self.name, self.sink = nil, nil
  if sink then
    return sink:finish()
  end
  if n_data > 0 then
    if n_data > 1 then
      self.data = {}
    end
    self.n_data, self.data_bytes = 0, 0
    self.on_data(n_data == 1 and data[1] or table.concat(data, "\n", 1, n_data), name)
  end
end

local function on_line(self, line)
  if line == "" and not self.lines then
    return dispatch(self)
  end
  local value = data_of(self, line)
  if not value or value == "" and self.lines then
    return
  end
  if self.sink or self.data_bytes + #value >= self.bytes_max then
    to_sink(self, self.sink and "\n" .. value or value)
  else
    -- Each line costs its entry as well, so that empty ones have a bound too.
    self.n_data = self.n_data + 1
    self.data[self.n_data] = value
    self.data_bytes = self.data_bytes + #value + 16
  end
  if self.lines then
    dispatch(self)
  end
end

local function end_line(self, rest)
  if self.passing then
    keep(self, rest)
    self.passing = false
    if self.lines then
      dispatch(self)
    end
    return
  end
  local line = rest
  if self.n_parts > 0 then
    self.parts[self.n_parts + 1] = rest
    line = table.concat(self.parts, "", 1, self.n_parts + 1)
    self.parts, self.n_parts, self.bytes = {}, 0, 0
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
  if self.n_parts > 0 or self.passing then
    end_line(self, "")
  end
  dispatch(self)
end

return sse
