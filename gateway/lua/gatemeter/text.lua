-- Keeps what an answer says, so that tokens can be counted where the upstream tells no usage.
-- keep() takes the data of each event of a stream (or pieces of a whole body), output() gives the
-- text. Pure; it must never give a part of an answer for the whole, nor keep more than its bound.
local text = {}
text.__index = text

local function filled(value)
  return type(value) == "string" and value ~= ""
end

-- bytes_max bounds what is kept; 0 keeps nothing.
function text.new(bytes_max)
  return setmetatable({ kept = {}, room = bytes_max or 0, whole = false }, text)
end

function text:keep(data)
  if self.room <= 0 then
    return
  end
  self.room = self.room - #data
  if self.room > 0 then
    self.kept[#self.kept + 1] = data
  else
    -- A part of an answer would make wrong counts; unknown is better.
    self.kept = {}
  end
end

-- What follows is not all that there was.
function text:give_up()
  self.room, self.kept = 0, {}
end

local function output_of(event, parts)
  if type(event.choices) == "table" then
    for _, choice in ipairs(event.choices) do
      local from = type(choice) == "table" and (choice.delta or choice.message)
      local content = type(from) == "table" and from.content
        or type(choice) == "table" and choice.text
      if filled(content) then
        parts[#parts + 1] = content
      end
    end
  elseif filled(event.delta) then
    parts[#parts + 1] = event.delta
  elseif type(event.delta) == "table" and filled(event.delta.text) then
    parts[#parts + 1] = event.delta.text
  end
end

-- The text of the answer, if all of it was kept. `pieces`: what was kept are pieces of one body.
function text:output(decode, pieces)
  local events = pieces and { table.concat(self.kept) } or self.kept
  local parts = {}
  for _, data in ipairs(events) do
    local event = decode(data)
    if type(event) == "table" then
      output_of(event, parts)
    end
  end
  return #parts > 0 and table.concat(parts) or nil
end

return text
