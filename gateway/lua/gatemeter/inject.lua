-- Asks for usage at the end of a stream, in the JSON of a request: stream_options.include_usage.
-- Pure. Only that is added; every other byte of the client's stays as it is, and a client that says
-- false, or anything else that is no null, is left alone.
local loose = require("gatemeter.loose")

local inject = {}

local after_string = loose.after_string

local BLANK = "^[ \t\r\n]*()"

local function after_blanks(body, at)
  return body:match(BLANK, at)
end

-- The place behind a value that begins at `at`.
local function after_value(body, at)
  local first = body:sub(at, at)
  if first == '"' then
    return after_string(body, at)
  elseif first ~= "{" and first ~= "[" then
    return body:find("[,}%] \t\r\n]", at)
  end
  local depth = 0
  while at do
    local stop = body:find('["{}%[%]]', at)
    if not stop then
      return nil
    end
    local sign = body:sub(stop, stop)
    if sign == '"' then
      at = after_string(body, stop)
    else
      depth = depth + ((sign == "{" or sign == "[") and 1 or -1)
      at = stop + 1
      if depth == 0 then
        return at
      end
    end
  end
end

-- Where the value of a field of the object at `open` begins and ends; the last one if it is given
-- twice, for that is the one which counts. nil if there is none.
local function find(decode, body, open, name)
  local at = after_blanks(body, open + 1)
  local from, to
  while at and body:sub(at, at) == '"' do
    local stop = after_string(body, at)
    local field = stop and decode("[" .. body:sub(at, stop - 1) .. "]")
    local colon = stop and after_blanks(body, stop)
    if not colon or body:sub(colon, colon) ~= ":" then
      return nil
    end
    local value = after_blanks(body, colon + 1)
    local after = after_value(body, value)
    if not after then
      return nil
    end
    if field and field[1] == name then
      from, to = value, after - 1
    end
    at = after_blanks(body, after)
    if body:sub(at, at) ~= "," then
      break
    end
    at = after_blanks(body, at + 1)
  end
  return from, to
end

-- A field more, as the first of the object at `open`.
local function first_field(body, open, field)
  local is_empty = body:sub(after_blanks(body, open + 1)):sub(1, 1) == "}"
  return body:sub(1, open) .. field .. (is_empty and "" or ",") .. body:sub(open + 1)
end

-- The body with the wish in it, or nil if it needs none. `null` is what decode() makes of null.
function inject.include_usage(decode, null, body)
  local asked = decode(body)
  if type(asked) ~= "table" or asked.stream ~= true then
    return nil
  end
  local open = after_blanks(body, body:find("^\239\187\191") and 4 or 1)
  if body:sub(open, open) ~= "{" then
    return nil
  end
  local options = asked.stream_options
  if options == nil then
    return first_field(body, open, '"stream_options":{"include_usage":true}')
  end
  local from, to = find(decode, body, open, "stream_options")
  if not from then
    return nil
  elseif options == null then
    return body:sub(1, from - 1) .. '{"include_usage":true}' .. body:sub(to + 1)
  elseif type(options) ~= "table" or body:sub(from, from) ~= "{" then
    return nil
  end
  if options.include_usage == nil then
    return first_field(body, from, '"include_usage":true')
  elseif options.include_usage == null then
    from, to = find(decode, body, from, "include_usage")
    return from and body:sub(1, from - 1) .. "true" .. body:sub(to + 1) or nil
  end
end

return inject
