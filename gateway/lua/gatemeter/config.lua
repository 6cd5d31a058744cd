-- Reads gateway.json into settings that cannot be wrong, or says which field is wrong and where.
-- Text goes in, a table with every default filled in comes out. Pure; it must never take a setting
-- it does not know, nor show a key in a message.
local http = require("gatemeter.http")
local namespace = require("gatemeter.namespace")

local config = {}

local function whole(low, high)
  return function(value)
    if type(value) == "number" and value % 1 == 0 and value >= low and value <= high then
      return true
    end
    return nil, ("must be a whole number from %d to %d"):format(low, high)
  end
end

local function flag(value)
  if type(value) == "boolean" then
    return true
  end
  return nil, "must be true or false"
end

local function word(value)
  if type(value) == "string" and value:find("^[%w%-_.:/]+$") and #value <= 64 then
    return true
  end
  return nil, "must be 1 to 64 letters, digits or -_.:/"
end

local function header_name(value)
  if type(value) == "string" and value:find("^%a[%w%-]*$") and #value <= 64 then
    return true
  end
  return nil, "must be the name of a header: letters, digits and -"
end

local function file_name(value)
  if type(value) == "string" and value ~= "" then
    return true
  end
  return nil, "must be the name of a file"
end

local function one_of(...)
  local words = { ... }
  return function(value)
    for _, allowed in ipairs(words) do
      if value == allowed then
        return true
      end
    end
    return nil, "must be one of " .. table.concat(words, ", ")
  end
end

local function url(value)
  local target, err = http.parse_url(value)
  return target and true or nil, err
end

-- { check, default }; a default of nil leaves the setting out. README.md explains each.
local FIELDS = {
  namespace_header = { header_name, "X-Namespace" },
  trust_header = { flag, true },
  forward_namespace = { flag, false },
  default_namespace = { namespace.check },
  gateway = { word, "gateway" },
  send_text = { one_of("never", "when_usage_absent"), "when_usage_absent" },
  text_bytes_max = { whole(1024, 524288), 262144 },
  inject_include_usage = { flag, false },
  ["upstream.name"] = { word, "openai" },
  ["upstream.key_file"] = { file_name },
  ["ingest.url"] = { url, "http://127.0.0.1:8003" },
  ["ingest.key_file"] = { file_name },
  ["ingest.timeout_ms"] = { whole(100, 120000), 15000 },
  ["batch.events_max"] = { whole(1, 2000), 500 },
  ["batch.bytes_max"] = { whole(1024, 8388608), 1048576 },
  ["batch.interval_ms"] = { whole(10, 60000), 200 },
  ["connections.interval_s"] = { whole(1, 50), 15 },
  ["drain.timeout_ms"] = { whole(0, 60000), 3000 },
}
local SECTIONS = { upstream = true, ingest = true, batch = true, connections = true, drain = true }

local function place(text, at)
  local line, from = 1, 1
  for newline in text:gmatch("()\n") do
    if newline >= at then
      break
    end
    line, from = line + 1, newline + 1
  end
  return line, at - from + 1
end

local function parse(text, decode)
  local object, err = decode(text)
  if type(object) == "table" then
    return object
  end
  local at = tonumber(tostring(err):match("at character (%d+)"))
  if not at then
    return nil, "is not a JSON object"
  end
  local line, column = place(text, at)
  return nil, ("line %d column %d: is not JSON: %s"):format(line, column,
    (tostring(err):gsub(" at character %d+", "")))
end

-- The line on which a name first stands as a key; good enough to find it by.
local function line_of(text, name)
  local at = text:find('"' .. name:gsub("%p", "%%%0") .. '"%s*:')
  return at and (" (line %d)"):format((place(text, at))) or ""
end

local function problem(text, path, reason)
  local last = path:match("([^.]+)$")
  return nil, path .. line_of(text, last) .. ": " .. reason
end

local function read_keys(text, keys, sha256_hex)
  local by_hash = {}
  if type(keys) ~= "table" then
    return problem(text, "keys", "must be an object")
  end
  for key, entry in pairs(keys) do
    -- A key itself never goes into a message.
    local name = ("keys.%s.."):format(tostring(key):sub(1, 6))
    if type(key) ~= "string" or type(entry) ~= "table" then
      return problem(text, name, "must be an object with a namespace")
    end
    local ok, err = namespace.check(entry.namespace)
    if not ok then
      return nil, name .. "namespace: " .. err
    end
    if entry.consumer ~= nil and (type(entry.consumer) ~= "string" or #entry.consumer > 128
      or entry.consumer:find("%c")) then
      return nil, name .. "consumer: must be text of at most 128 bytes"
    end
    for field in pairs(entry) do
      if field ~= "namespace" and field ~= "consumer" then
        return nil, name .. tostring(field) .. ": is not a setting"
      end
    end
    local hash = key:lower()
    if not hash:find("^%x+$") or #hash ~= 64 then
      hash, err = sha256_hex(key)
      if not hash then
        return nil, name .. ": " .. err
      end
    end
    by_hash[hash] = { namespace = entry.namespace, consumer = entry.consumer }
  end
  return by_hash
end

local function flatten(text, object)
  local flat = {}
  for name, value in pairs(object) do
    if SECTIONS[name] then
      if type(value) ~= "table" then
        return problem(text, name, "must be an object")
      end
      for inner, inner_value in pairs(value) do
        flat[name .. "." .. tostring(inner)] = inner_value
      end
    elseif name ~= "keys" then
      flat[tostring(name)] = value
    end
  end
  return flat
end

local KEY_BYTES_MAX = 4096

-- The key that the text of a file holds. Editors and shells leave a byte order mark before it, and
-- blanks and line breaks behind it. Else nil and the reason, which never shows the key.
function config.key(text)
  if text:find("%z") or text:find("^\255\254") or text:find("^\254\255") then
    return nil, "it is UTF-16 or no text; save it as UTF-8"
  end
  local key = text:gsub("^\239\187\191", ""):match("^%s*(.-)%s*$")
  if key == "" then
    return nil, "it is empty"
  elseif #key > KEY_BYTES_MAX then
    return nil, "it is too large"
  elseif key:find("[\r\n]") then
    return nil, "it has more than one line"
  elseif key:find("[ \t]") then
    return nil, "it has blanks inside"
  elseif key:find("[\128-\255]") then
    return nil, "it has characters beyond ASCII"
  elseif key:find("%c") then
    return nil, "it has control characters"
  end
  return key
end

-- `decode` reads JSON (nil and an error if it cannot), `sha256_hex` hashes keys given in plain.
-- `null` stands for JSON's null, which means the same as leaving a setting out.
function config.read(text, decode, sha256_hex, null)
  text = text:gsub("^\239\187\191", "")
  local object, err = parse(text, decode)
  if not object then
    return nil, err
  end
  local flat
  flat, err = flatten(text, object)
  if not flat then
    return nil, err
  end
  local settings = {}
  for path, value in pairs(flat) do
    local field = FIELDS[path]
    if not field then
      return problem(text, path, "is not a setting")
    end
    if value ~= null then
      local ok, reason = field[1](value)
      if not ok then
        return problem(text, path, reason)
      end
      settings[path] = value
    end
  end
  for path, field in pairs(FIELDS) do
    if settings[path] == nil then
      settings[path] = field[2]
    end
  end
  settings.keys, err = read_keys(text, object.keys or {}, sha256_hex)
  if not settings.keys then
    return nil, err
  end
  return settings
end

return config
