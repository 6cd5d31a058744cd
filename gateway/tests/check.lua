-- What the tests share: comparing values, and a store like a shared dict. It must never say that
-- two values are equal which differ in any part.
local check = {}

local function show(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local parts = {}
  for key, inner in pairs(value) do
    parts[#parts + 1] = tostring(key) .. "=" .. show(inner)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

function check.equal(found, expected, what)
  if show(found) ~= show(expected) then
    error(("%s: expected %s, found %s"):format(what or "value", show(expected), show(found)), 2)
  end
end

-- A store with room for `bytes_max` bytes of values; before its call number `dies_at` it raises an
-- error, as if the worker had been killed there.
function check.store(bytes_max)
  local store = { values = {}, bytes = 0, n_calls = 0 }
  local function call()
    store.n_calls = store.n_calls + 1
    if store.n_calls == store.dies_at then
      error("killed", 0)
    end
  end
  local function size(value)
    return value == nil and 0 or #tostring(value)
  end
  function store.get(_, key)
    call()
    return store.values[key]
  end
  function store.safe_set(_, key, value)
    call()
    local bytes = store.bytes - size(store.values[key]) + size(value)
    if bytes > (bytes_max or math.huge) then
      return false, "no memory"
    end
    store.values[key], store.bytes = value, bytes
    return true
  end
  function store.safe_add(_, key, value)
    if store.values[key] ~= nil then
      return false, "exists"
    end
    return store.safe_set(nil, key, value)
  end
  function store.delete(_, key)
    call()
    store.bytes = store.bytes - size(store.values[key])
    store.values[key] = nil
  end
  return store
end

return check
