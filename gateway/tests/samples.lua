-- Reads shapes.txt, which says itself how it is made.
local cjson = require("cjson.safe")

local samples = {}

-- A list of { name, path, type, expect, body }.
function samples.read(path)
  local file = assert(io.open(path, "rb"))
  local list, sample, in_body = {}, nil, false
  for line in file:lines("*L") do
    local name = line:match("^=== (.*)\n$")
    if name then
      sample, in_body = { name = name, body = "" }, false
      list[#list + 1] = sample
    elseif in_body then
      sample.body = sample.body .. line
    elseif line == "---\n" then
      in_body = true
    elseif sample then
      local key, value = line:match("^(%w+): (.*)\n$")
      sample[key] = key == "expect" and assert(cjson.decode(value)) or value
    end
  end
  file:close()
  return list
end

return samples
