-- Writes DNS queries and reads answers (RFC 1035): questions for A and AAAA in the class IN.
-- query() makes the bytes of a question; read() takes the bytes of an answer apart and follows its
-- CNAME records. Pure; whatever bytes come in, it must end in bounded time, never take an answer to
-- another question for its own, and never give an address that the answer does not hold.
local bit = require("bit")

local dns = {}

dns.A, dns.AAAA = 1, 28
local CNAME, IN = 5, 1
-- RFC 1035, 2.3.4: a name has at most 255 bytes, lengths included, a label 63.
local NAME_BYTES_MAX, LABEL_BYTES_MAX = 253, 63
-- Compression pointers followed within one name.
local POINTERS_MAX = 32
-- Longest CNAME chain within one answer.
local CNAMES_MAX = 16
local RECORDS_MAX = 128
local ADDRESSES_MAX = 16
local RCODES = { [1] = "FORMERR", [2] = "SERVFAIL", [4] = "NOTIMP", [5] = "REFUSED" }

local function u16(bytes, at)
  local high, low = bytes:byte(at, at + 1)
  return low and high * 256 + low
end

local function u32(bytes, at)
  local high, low = u16(bytes, at), u16(bytes, at + 2)
  return low and high * 65536 + low
end

local function word(n)
  return string.char(math.floor(n / 256), n % 256)
end

-- The bytes of a question; nil and the reason if the name cannot be asked for.
function dns.query(id, name, kind)
  if #name > NAME_BYTES_MAX then
    return nil, "the name is longer than 253 bytes"
  end
  local labels = {}
  for label in (name .. "."):gmatch("([^.]*)%.") do
    if label == "" or #label > LABEL_BYTES_MAX then
      return nil, "a label of the name is empty or longer than 63 bytes"
    end
    labels[#labels + 1] = string.char(#label) .. label
  end
  -- One question; recursion desired.
  return word(id) .. "\1\0\0\1\0\0\0\0\0\0" .. table.concat(labels) .. "\0" .. word(kind)
    .. word(IN)
end

-- The name at a place, in lower case without the last dot, and the place behind it.
local function read_name(bytes, at)
  local labels, size, behind, pointers = {}, 0, nil, 0
  while true do
    local length = bytes:byte(at)
    if not length then
      return nil
    elseif length == 0 then
      return table.concat(labels, "."):lower(), behind or at + 1
    elseif length >= 192 then
      local target = u16(bytes, at)
      pointers = pointers + 1
      if not target or pointers > POINTERS_MAX then
        return nil
      end
      behind = behind or at + 2
      at = bit.band(target, 0x3fff) + 1
    elseif length > LABEL_BYTES_MAX then
      return nil
    else
      size = size + length + 1
      if size > NAME_BYTES_MAX + 1 or at + length > #bytes then
        return nil
      end
      labels[#labels + 1] = bytes:sub(at + 1, at + length)
      at = at + length + 1
    end
  end
end

local function read_address(bytes, at, kind)
  if kind == dns.A then
    return ("%d.%d.%d.%d"):format(bytes:byte(at, at + 3))
  end
  local groups = {}
  for i = 0, 7 do
    groups[i + 1] = ("%x"):format(u16(bytes, at + 2 * i))
  end
  return "[" .. table.concat(groups, ":") .. "]"
end

-- A record at a place: { name, kind, ttl_s, value } and the place behind it; nil if it is cut off.
local function read_record(bytes, at)
  local name
  name, at = read_name(bytes, at)
  local size = name and u16(bytes, at + 8)
  if not size or at + 9 + size > #bytes then
    return nil
  end
  local kind, ttl_s = u16(bytes, at), u32(bytes, at + 4)
  local record = { name = name, kind = kind, ttl_s = ttl_s < 2 ^ 31 and ttl_s or 0 }
  if u16(bytes, at + 2) == IN then
    if kind == CNAME then
      record.value = read_name(bytes, at + 10)
    elseif kind == dns.A and size == 4 or kind == dns.AAAA and size == 16 then
      record.value = read_address(bytes, at + 10, kind)
    end
  end
  return record, at + 10 + size
end

local function is_question(bytes, name, kind)
  local asked, at = read_name(bytes, 13)
  if asked == name:lower() and u16(bytes, at) == kind and u16(bytes, at + 2) == IN then
    return at + 4
  end
end

-- Walks from the name asked for through its CNAME records to the addresses.
local function follow(reply, records, name, kind)
  reply.name = name:lower()
  local seen = {}
  for _ = 1, CNAMES_MAX do
    local target, ttl_s
    for _, record in ipairs(records) do
      if record.name == reply.name and record.value then
        if record.kind == kind and #reply.addresses < ADDRESSES_MAX and not seen[record.value] then
          seen[record.value] = true
          reply.addresses[#reply.addresses + 1] = record.value
          reply.ttl_s = math.min(reply.ttl_s or record.ttl_s, record.ttl_s)
        elseif record.kind == CNAME then
          target, ttl_s = record.value, record.ttl_s
        end
      end
    end
    if #reply.addresses > 0 or not target then
      return reply
    end
    reply.ttl_s = math.min(reply.ttl_s or ttl_s, ttl_s)
    reply.name = target
  end
  return nil, "its CNAME records go round in a circle or are too many"
end

-- Reads an answer to the question of query(). Returns { addresses, ttl_s, name, truncated,
-- exists }: `name` is where its CNAME records end. Else nil, the reason, and true if this is an
-- answer to something else, so that the right one may still come.
function dns.read(bytes, id, name, kind)
  if #bytes < 12 or u16(bytes, 1) ~= id then
    return nil, "answered another question", true
  end
  local flags, code = bytes:byte(3, 4)
  if flags < 128 or bit.band(flags, 0x78) ~= 0 then
    return nil, "answered another question", true
  end
  code = code % 16
  local at = u16(bytes, 5) == 1 and is_question(bytes, name, kind)
  if not at then
    -- A server that could not read the question may leave it out; anybody else's answer may not.
    return nil, "answered " .. (RCODES[code] or "another question"), not RCODES[code]
  end
  if code ~= 0 and code ~= 3 then
    return nil, "answered " .. (RCODES[code] or "code " .. code)
  end
  local reply = { addresses = {}, truncated = bit.band(flags, 2) ~= 0, exists = code == 0 }
  local records, n_records = {}, math.min(u16(bytes, 7), RECORDS_MAX)
  for i = 1, n_records do
    local record
    record, at = read_record(bytes, at)
    if not record then
      if reply.truncated then
        break
      end
      return nil, "sent an answer that ends within a record"
    end
    records[i] = record
  end
  return follow(reply, records, name, kind)
end

return dns
