-- Resolves the namespace of a request: the key map first, then the header, then the default. A key
-- comes in as its SHA-256, a header as sent; out goes a valid namespace or an OpenAI error. Pure;
-- it must never let a name through that ingest would reject, nor show a key to anybody.
local memo = require("gatemeter.memo")

local namespace = {}

local RESERVED = { all = true, none = true, other = true }
local BYTES_MAX = 64

-- The rule of docs/events.md, so that no event is rejected for its namespace later.
function namespace.check(name)
  if type(name) ~= "string" or name == "" then
    return nil, "must not be empty"
  end
  if #name > BYTES_MAX then
    return nil, "must have at most 64 bytes"
  end
  if not name:find("^%a[%w%-_.:/]*$") then
    return nil, "must begin with a letter and go on with letters, digits and -_.:/"
  end
  if RESERVED[name] then
    return nil, "must not be 'all', 'none' or 'other', which are reserved"
  end
  return true
end

-- Most requests have one of a few names.
local check_again = memo.of(namespace.check)

-- The secret of `Authorization: Bearer ..` or of the headers that other clients use instead.
function namespace.key_of(authorization, api_key)
  if authorization then
    return authorization:match("^%s*[Bb][Ee][Aa][Rr][Ee][Rr]%s+(%S+)%s*$")
  end
  return api_key
end

-- Returns { namespace, consumer }, or nil and { status, code, message, reason }.
function namespace.resolve(settings, header, key_hash)
  local known = key_hash and settings.keys[key_hash]
  if known then
    return known
  end
  if settings.trust_header and header and header ~= "" then
    local ok, err = check_again(header)
    if not ok then
      return nil, { status = 400, code = "invalid_namespace", reason = "bad_namespace",
                    message = "the namespace in " .. settings.namespace_header .. " " .. err }
    end
    return { namespace = header }
  end
  if settings.default_namespace then
    return { namespace = settings.default_namespace }
  end
  if key_hash then
    return nil, { status = 401, code = "invalid_api_key", reason = "unknown_key",
                  message = "the API key is not known to this gateway" }
  end
  local hint = settings.trust_header and " or the header " .. settings.namespace_header or ""
  return nil, { status = 401, code = "namespace_missing", reason = "no_namespace",
                message = "an API key" .. hint .. " must say to which namespace this belongs" }
end

return namespace
