-- What the gateway asks of the system: clocks, random ids, SHA-256, whether a process runs.
-- Thin calls through LuaJIT's FFI and /proc (Linux). Pure of nginx; it must never be asked for
-- random bytes or /proc while a request waits.
local ffi = require("ffi")

local system = {}

ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } gatemeter_time;
  int clock_gettime(int clock, gatemeter_time *time);
  unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);
  int getpid(void);
]])

local REALTIME, MONOTONIC = 0, 1
local now = ffi.new("gatemeter_time")

-- Time for durations, in milliseconds with fractions; never set back.
function system.monotonic_ms()
  ffi.C.clock_gettime(MONOTONIC, now)
  return tonumber(now.seconds) * 1e3 + tonumber(now.nanoseconds) / 1e6
end

-- Time of day in whole microseconds; exact in a double until the year 2255.
function system.epoch_us()
  ffi.C.clock_gettime(REALTIME, now)
  return tonumber(now.seconds) * 1e6 + math.floor(tonumber(now.nanoseconds) / 1e3)
end

local function hex(bytes)
  return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end))
end

function system.random_hex(n_bytes)
  local file, err = io.open("/dev/urandom", "rb")
  if not file then
    return nil, err
  end
  -- Unbuffered: a whole buffer of random bytes would be read for 16 of them.
  file:setvbuf("no")
  local bytes = file:read(n_bytes)
  file:close()
  if not bytes or #bytes ~= n_bytes then
    return nil, "/dev/urandom gave too few bytes"
  end
  return hex(bytes)
end

local function find_crypto()
  if pcall(function() return ffi.C.SHA256 end) then
    return ffi.C
  end
  for _, name in ipairs({ "libcrypto.so.3", "crypto", "libcrypto.so.1.1" }) do
    local ok, library = pcall(ffi.load, name, false)
    if ok and pcall(function() return library.SHA256 end) then
      return library
    end
  end
end

local crypto
local digest = ffi.new("unsigned char[32]")

-- SHA-256 in hex, by the libcrypto that nginx has loaded; nil and an error if there is none.
function system.sha256_hex(text)
  crypto = crypto or find_crypto()
  if not crypto then
    return nil, "no libcrypto with SHA256 was found"
  end
  crypto.SHA256(text, #text, digest)
  return hex(ffi.string(digest, 32))
end

function system.pid()
  return ffi.C.getpid()
end

-- When a process began, in ticks since boot; nil if it does not run any more. Tells a process from
-- a later one that got its number.
function system.started(pid)
  local file = io.open(("/proc/%d/stat"):format(pid), "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  local rest = text and text:match("^.*%) (.*)$")
  if not rest or rest:find("^[ZX]") then
    return nil
  end
  local i = 0
  for field in rest:gmatch("%S+") do
    i = i + 1
    if i == 20 then
      return field
    end
  end
end

function system.alive(pid, start)
  return system.started(pid) == start
end

return system
