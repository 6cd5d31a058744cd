-- Streaming decompression of gzip and deflate, with the libz already loaded in the process.
-- Compressed bytes go in by feed(), plain ones out to on_bytes(), in order; finish() frees the
-- memory. Bounded by what it gives out and by libz's own 32 KiB window. It must never give out
-- bytes that libz has not vouched for, nor go on after an error.
local ffi = require("ffi")

local inflate = {}
inflate.__index = inflate

ffi.cdef([[
  typedef struct {
    const uint8_t *next_in; unsigned int avail_in; unsigned long total_in;
    uint8_t *next_out; unsigned int avail_out; unsigned long total_out;
    const char *msg; void *state; void *zalloc; void *zfree; void *opaque;
    int data_type; unsigned long adler; unsigned long reserved;
  } gatemeter_zstream;
  const char *zlibVersion(void);
  int inflateInit2_(gatemeter_zstream *stream, int bits, const char *version, int size);
  int inflate(gatemeter_zstream *stream, int flush);
  int inflateReset2(gatemeter_zstream *stream, int bits);
  int inflateEnd(gatemeter_zstream *stream);
]])

local OK, STREAM_END, BUF_ERROR, DATA_ERROR = 0, 1, -5, -3
local SYNC_FLUSH = 2
-- gzip or zlib by their headers; deflate without one, as some servers send it.
local WITH_HEADER, RAW = 47, -15
local PIECE_BYTES = 32 * 1024
-- An answer that unpacks to more is given up: the time it takes is the worker's.
inflate.BYTES_MAX = 64 * 1024 * 1024

local function find_library()
  if pcall(function() return ffi.C.inflateInit2_ end) then
    return ffi.C
  end
  for _, name in ipairs({ "libz.so.1", "z" }) do
    local ok, library = pcall(ffi.load, name)
    if ok then
      return library
    end
  end
end

local library
-- One buffer for all: what is in it is passed on before the next call.
local piece = ffi.new("uint8_t[?]", PIECE_BYTES)

-- nil and an error if there is no libz.
function inflate.new(on_bytes, bytes_max)
  library = library or find_library()
  if not library then
    return nil, "no libz was found"
  end
  local stream = ffi.new("gatemeter_zstream")
  local code = library.inflateInit2_(stream, WITH_HEADER, library.zlibVersion(),
                                     ffi.sizeof(stream))
  if code ~= OK then
    return nil, "libz gave error " .. code
  end
  ffi.gc(stream, library.inflateEnd)
  return setmetatable({ stream = stream, on_bytes = on_bytes, left = bytes_max or inflate.BYTES_MAX,
                        began = false, raw = false, ended = false, first = "" }, inflate)
end

local function fail(self, reason)
  self.error = reason
  self:finish()
  return nil, reason
end

local function give(self, stream)
  local n = PIECE_BYTES - stream.avail_out
  if n == 0 then
    return true
  end
  self.began = true
  self.left = self.left - n
  if self.left < 0 then
    return false
  end
  self.on_bytes(ffi.string(piece, n))
  return true
end

-- After the end of a member another one may follow; anything else there is padding.
local function next_member(self, stream)
  if self.raw or stream.avail_in < 1 or stream.next_in[0] ~= 0x1f then
    return false
  end
  return library.inflateReset2(stream, WITH_HEADER) == OK
end

local function run(self, chunk)
  local stream = self.stream
  stream.next_in, stream.avail_in = ffi.cast("const uint8_t *", chunk), #chunk
  repeat
    stream.next_out, stream.avail_out = piece, PIECE_BYTES
    local code = library.inflate(stream, SYNC_FLUSH)
    if code ~= OK and code ~= STREAM_END and code ~= BUF_ERROR then
      return code
    end
    if not give(self, stream) then
      return nil, "more than " .. self.left .. " bytes"
    end
    if code == STREAM_END then
      self.ended = true
      if not next_member(self, stream) then
        return OK
      end
      self.ended = false
    end
  until stream.avail_in == 0 and stream.avail_out > 0 or code == BUF_ERROR
  return OK
end

-- Returns true, or nil and an error, after which nothing more is read.
function inflate:feed(chunk)
  if self.error then
    return nil, self.error
  end
  if self.ended and (self.raw or chunk:byte() ~= 0x1f) then
    return true
  end
  if self.ended then
    self.ended = false
    library.inflateReset2(self.stream, WITH_HEADER)
  end
  -- The two bytes of a header are sufficient; they may arrive one by one.
  self.first = not self.began and self.first and #self.first < 2 and self.first .. chunk or nil
  local code = run(self, chunk)
  if code == DATA_ERROR and not self.began and not self.raw and self.first then
    -- "deflate" without the header of zlib.
    self.raw = true
    library.inflateReset2(self.stream, RAW)
    code = run(self, self.first)
  end
  if code == OK then
    return true
  end
  return fail(self, code and "damaged" or "too long")
end

function inflate:finish()
  if self.stream then
    ffi.gc(self.stream, nil)
    library.inflateEnd(self.stream)
    self.stream = nil
  end
end

return inflate
