-- Tells what requests and answers say from what they leave empty. Members of decoded JSON go in.
-- Pure; an empty text, an empty table or null must never pass for something.
local values = {}

function values.filled(value)
  return type(value) == "string" and value ~= ""
end

-- Whether it is a list with something in it.
function values.is_list(value)
  return type(value) == "table" and value[1] ~= nil
end

-- Whether it is a text or a table with something in it.
function values.is_given(value)
  return type(value) == "string" and value ~= "" or type(value) == "table" and next(value) ~= nil
end

-- The first of these that is given, or nil.
function values.given(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if values.is_given(value) then
      return value
    end
  end
end

return values
