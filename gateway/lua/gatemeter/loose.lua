-- Reads JSON that its sender should have written better: half a surrogate pair, a byte order mark,
-- several values one after another, an end that never came. Others on the way take such bytes, so
-- what they say counts. Pure; it must never find in them what a careful reader would not.
local loose = {}

local BOM = "\239\187\191"
local QUOTE, OPEN, CLOSE, LETTER_U = 34, 123, 125, 117

-- The place behind a string that begins at `at`, or nil.
function loose.after_string(json, at)
  at = at + 1
  while true do
    local stop = json:find('["\\]', at)
    if not stop then
      return nil
    elseif json:byte(stop) == QUOTE then
      return stop + 1
    end
    at = stop + 2
  end
end

-- Half a surrogate pair is no letter: the one that stands for such takes its place.
local function mend_surrogates(json)
  local pieces, from, at = {}, 1, json:find("\\", 1, true)
  while at do
    local high = json:find("^u[dD][89abAB]%x%x", at + 1)
    if high and json:find("^\\u[dD][c-fC-F]%x%x", at + 6) then
      at = at + 12
    elseif high or json:find("^u[dD][c-fC-F]%x%x", at + 1) then
      pieces[#pieces + 1] = json:sub(from, at - 1) .. "\\ufffd"
      at = at + 6
      from = at
    else
      at = at + 2
    end
    at = json:find("\\", at, true)
  end
  pieces[#pieces + 1] = json:sub(from)
  return table.concat(pieces)
end

-- What decode() makes of a text, or of what is left when its flaws are mended; nil if nothing.
function loose.decode(decode, json)
  local value = decode(json)
  if value ~= nil then
    return value
  end
  local mended = json:sub(1, 3) == BOM and json:sub(4) or json
  if mended:find("\\u[dD][89a-fA-F]") then
    mended = mend_surrogates(mended)
  end
  if mended ~= json then
    return (decode(mended))
  end
end

-- A decoder of that kind.
function loose.decoder(decode)
  return function(json)
    return loose.decode(decode, json)
  end
end

-- The objects that stand one after another, or in the list around them, as texts. One that the end
-- has cut off is left out.
function loose.objects(json)
  local list, level, from, at = {}, 0, nil, 1
  while at do
    local stop = json:find('["{}]', at)
    local byte = stop and json:byte(stop)
    if byte == QUOTE then
      at = loose.after_string(json, stop)
    elseif byte == OPEN then
      from = level == 0 and stop or from
      level, at = level + 1, stop + 1
    elseif byte == CLOSE then
      level, at = math.max(level - 1, 0), stop + 1
      if level == 0 and from then
        list[#list + 1], from = json:sub(from, stop), nil
      end
    else
      at = nil
    end
  end
  return list
end

-- A string that the end has cut off, without the escape in which it was.
local function without_half_escape(json, from)
  local at = json:find("\\", from, true)
  while at do
    local after = at + (json:byte(at + 1) == LETTER_U and 6 or 2)
    if after > #json + 1 then
      return json:sub(1, at - 1)
    end
    at = json:find("\\", after, true)
  end
  return json
end

-- What the end has cut off, closed behind its last value; a text is one as far as it came.
local function closed(json)
  local closers, kept, at, is_value = {}, 0, 1, false
  local text
  while at and not text do
    local stop = json:find('["{}%[%],:]', at)
    local char = stop and json:sub(stop, stop)
    at = stop and stop + 1
    if char == '"' then
      at = loose.after_string(json, stop)
      if not at and is_value then
        text = without_half_escape(json, stop + 1) .. '"'
      end
      kept = at and is_value and at - 1 or kept
    elseif char == "{" or char == "[" then
      closers[#closers + 1] = char == "{" and "}" or "]"
      kept, is_value = stop, char == "["
    elseif char == "}" or char == "]" then
      closers[#closers], kept = nil, stop
    elseif char then
      kept = char == "," and stop - 1 or kept
      is_value = char == ":" or closers[#closers] == "]"
    end
  end
  return (text or json:sub(1, kept)) .. table.concat(closers):reverse()
end

-- A body as one value, or as several; see objects(). Of one that was cut off it is what came.
function loose.values(decode, json)
  if decode(json) ~= nil then
    return { json }
  end
  local list = loose.objects(json)
  local begin = #list == 0 and json:find("{", 1, true)
  return begin and { closed(json:sub(begin)) } or list
end

return loose
