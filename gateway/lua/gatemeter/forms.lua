-- Reads the counts of one usage object, by the forms of shapes.lua. read() takes a decoded object
-- and gives its counts, or nil if it has no form that is known. The forms are tables of paths; here
-- they become trees, so that an object is gone through once, by the members it has, and not once
-- per path. Pure; a value that is not a number must never become one.
local bit = require("bit")
local shapes = require("gatemeter.shapes")

local forms = {}

-- Ingest takes no count above it.
local TOKENS_MAX = 1000000000
forms.TOKENS_MAX = TOKENS_MAX
forms.COUNTS = { "input", "output", "total", "cache_read", "cache_write", "reasoning" }

local function split(path)
  local names = {}
  for name in path:gmatch("[^.]+") do
    names[#names + 1] = tonumber(name) or name
  end
  return names
end
forms.split = split

-- A node has `members`, nodes by name, and `takes`, what its own value counts for.
local function node_at(node, path)
  for _, name in ipairs(split(path)) do
    node.members = node.members or {}
    node.members[name] = node.members[name] or {}
    node = node.members[name]
  end
  return node
end

local function grow(tree, form, name)
  for _, member in ipairs(form[name]) do
    local is_sum = type(member) == "table"
    for _, path in ipairs(is_sum and member or { member }) do
      local node = node_at(tree, path)
      node.takes = node.takes or {}
      -- A sum is recognised by its list.
      table.insert(node.takes, { name = name, sum = is_sum and member or nil })
    end
  end
end

local function paths(list)
  local all = {}
  for i, path in ipairs(list or {}) do
    all[i] = split(path)
  end
  return all
end

-- By the first name of a mark, the bits of the forms that have it.
local marked = {}
local compiled = {}
for i, form in ipairs(shapes.FORMS) do
  local own = { name = form.name, form = form, bit = bit.lshift(1, i - 1), tree = {},
                marks = paths(form.marks), not_marks = paths(form.not_marks),
                rest_is_input = form.rest_is_input and paths(form.rest_is_input) }
  for _, name in ipairs(forms.COUNTS) do
    grow(own.tree, form, name)
  end
  for _, mark in ipairs(own.marks) do
    marked[mark[1]] = bit.bor(marked[mark[1]] or 0, own.bit)
  end
  compiled[i] = own
end
assert(#compiled <= 32, "a form is a bit of a number")

-- The member at the end of `names`, or nil; null is distinguished by its type.
function forms.follow(object, names)
  for i = 1, #names do
    if type(object) ~= "table" then
      return nil
    end
    object = object[names[i]]
  end
  return type(object) ~= "userdata" and object or nil
end
local follow = forms.follow

-- A count and whether it had to be repaired; false for a value that is not a count.
local function count(value)
  if type(value) == "number" and value % 1 == 0 and value >= 0 and value <= TOKENS_MAX then
    return value + 0, false
  end
  if type(value) == "string" then
    value = value:find("^%d+%.?%d*$") and tonumber(value) or false
  end
  if type(value) ~= "number" or not (value >= 0 and value <= TOKENS_MAX) then
    return false
  end
  local floor = math.floor(value)
  local rest = value - floor
  if rest == 0 then
    return floor, false
  end
  if rest > 0.5 or rest == 0.5 and floor % 2 == 1 then
    floor = floor + 1
  end
  return floor, true
end

-- The largest reported value of a count is taken, and a sum only if all of its terms exist.
local function take(found, taken, value)
  local n, repaired = count(value)
  local name, sum = taken.name, taken.sum
  if not n then
    found.unknown[name] = true
  elseif sum then
    local sums = found.sums or {}
    local so_far = sums[sum] or { name = name, n = 0 }
    found.sums, sums[sum] = sums, so_far
    so_far.n, so_far.repaired = so_far.n + n, so_far.repaired or repaired
  else
    if n >= (found[name] or 0) then
      found[name] = n
    end
    if repaired then
      found.n_repaired = found.n_repaired + 1
    end
  end
end

local function walk(found, object, members)
  for name, value in pairs(object) do
    local node = members[name]
    if node and type(value) ~= "userdata" then
      local takes = node.takes
      if takes then
        for i = 1, #takes do
          take(found, takes[i], value)
        end
      end
      if node.members and type(value) == "table" then
        walk(found, value, node.members)
      end
    end
  end
end

local function is_any_above_zero(raw, members)
  for i = 1, #members do
    if (count(follow(raw, members[i])) or 0) > 0 then
      return true
    end
  end
  return false
end

local function counts_of(form, raw)
  local found = { form = form.form, n_repaired = 0, unknown = {} }
  if form.rest_is_input then
    found.rest_is_input = is_any_above_zero(raw, form.rest_is_input)
  end
  walk(found, raw, form.tree.members)
  local sums = found.sums
  found.sums = nil
  for _, sum in pairs(sums or {}) do
    if sum.n >= (found[sum.name] or 0) then
      found[sum.name] = sum.n
    end
    found.n_repaired = found.n_repaired + (sum.repaired and 1 or 0)
  end
  return found
end

local function has(raw, marks)
  for i = 1, #marks do
    if follow(raw, marks[i]) ~= nil then
      return true
    end
  end
  return false
end

-- Bits of the forms of which an object has a mark, or the object in which one would stand.
local function candidates(raw)
  local bits = 0
  for name, value in pairs(raw) do
    local its = marked[name]
    if its and type(value) ~= "userdata" then
      bits = bit.bor(bits, its)
    end
  end
  return bits
end

-- { form, n_repaired, unknown = { name = true }, rest_is_input, and each of COUNTS that is there },
-- or nil if the object has no form that is known. `wanted`: only forms with these names.
function forms.read(raw, wanted)
  local bits = candidates(raw)
  if bits == 0 then
    return nil
  end
  for i = 1, #compiled do
    local form = compiled[i]
    if bit.band(bits, form.bit) ~= 0 and (not wanted or wanted[form.name])
      and has(raw, form.marks) and not has(raw, form.not_marks) then
      local found = counts_of(form, raw)
      if not form.form.if_more_than_zero or (found.input or 0) + (found.output or 0) > 0 then
        return found
      end
    end
  end
end

return forms
