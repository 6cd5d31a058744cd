-- Tells from the first bytes of an answer what it is, for content types are missing or wrong.
-- The first bytes and the headers go in, a kind comes out, or nil for "needs more bytes". Pure; it
-- must never wait for more than a few bytes that matter.
local sniff = {}

local BOM = "\239\187\191"
local FIELDS = { "data", "event", "id", "retry", "error" }
-- Blank lines before an answer (DeepSeek sends them while a request waits) are not kept.
local PREFIX_BYTES = 16

local OPEN_OBJECT = 123

local PACKINGS = { gzip = "\31\139", zstd = "\40\181\47\253" }

-- gzip or zstd by their first bytes, false for neither, nil if `head` is too short to say.
function sniff.packing(head)
  local first = head:byte()
  if first ~= 31 and first ~= 40 and first then
    return false
  end
  for name, sign in pairs(PACKINGS) do
    if head:sub(1, #sign) == sign then
      return name
    end
    if sign:sub(1, #head) == head then
      return nil
    end
  end
  return false
end

local ENCODINGS = { gzip = "gzip", ["x-gzip"] = "gzip", deflate = "deflate", br = "br",
                    zstd = "zstd" }

-- The one Content-Encoding: gzip, deflate, br, zstd, other (unknown, or several), or nil.
function sniff.encoding(header)
  if not header then
    return nil
  end
  local found
  for word in header:lower():gmatch("[^,%s]+") do
    if word ~= "identity" then
      found = found and "other" or ENCODINGS[word] or "other"
    end
  end
  return found
end

local function is_field(head)
  for _, field in ipairs(FIELDS) do
    local n = math.min(#head, #field)
    if head:sub(1, n) == field:sub(1, n) then
      if #head <= #field then
        return nil
      end
      return head:sub(#field + 1, #field + 1):find("[:\r\n]") ~= nil
    end
  end
  return false
end

-- Whether a content type says NDJSON. Most say "application/json".
function sniff.is_lines(content_type)
  if not content_type or content_type == "application/json" then
    return nil
  end
  content_type = content_type:lower()
  return content_type:find("ndjson", 1, true) or content_type:find("jsonl", 1, true)
    or content_type:find("json-lines", 1, true) or content_type:find("json-stream", 1, true)
end

function sniff.is_stream(content_type)
  content_type = (content_type or ""):lower()
  return content_type:find("text/event-stream", 1, true) ~= nil
    or sniff.is_lines(content_type) ~= nil
end

-- "events", "lines" (NDJSON), "json", "other", or nil if `head` is too short to say. The second
-- value is `head` without what does not count.
function sniff.kind(head, content_type)
  if head:byte() == OPEN_OBJECT and content_type == "application/json" then
    return "json", head
  end
  content_type = (content_type or ""):lower()
  if #head < 3 and BOM:sub(1, #head) == head then
    return nil, head
  end
  local rest = head:gsub("^" .. BOM, ""):gsub("^%s+", "")
  if rest == "" then
    return nil, head:sub(1, 3) == BOM and BOM or ""
  end
  local first = rest:sub(1, 1)
  if first == "{" or first == "[" then
    return first == "{" and sniff.is_lines(content_type) and "lines" or "json", rest
  end
  if first == ":" then
    return "events", rest
  end
  local field = is_field(rest)
  if field == nil and #rest < PREFIX_BYTES then
    return nil, rest
  end
  if field or content_type:find("text/event-stream", 1, true) then
    return "events", rest
  end
  return "other", rest
end

return sniff
