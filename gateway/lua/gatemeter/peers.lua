-- Chooses among the addresses of one name: in turn, IPv4 first, those that failed lately last.
-- set() takes what was resolved, pick() gives the address for an attempt, failed() reports one that
-- could not be connected to, reached() one that could. Pure; it must always give an address that
-- has not been tried while there is one, however bad its record.
local peers = {}
peers.__index = peers

-- How long a failed address is tried last.
peers.FAILED_MS = 10000

function peers.new()
  return setmetatable({ list = {}, until_ms = {}, turn = 0 }, peers)
end

-- Returns whether the addresses have changed. IPv6 goes last: where there is no way to it, a
-- connection may hang until its time is up.
function peers:set(addresses)
  local list, until_ms = {}, {}
  for _, wants_v6 in ipairs({ false, true }) do
    for _, address in ipairs(addresses) do
      if (address:byte() == 91) == wants_v6 then
        list[#list + 1] = address
        until_ms[address] = self.until_ms[address]
      end
    end
  end
  local sorted, old = { unpack(list) }, { unpack(self.list) }
  table.sort(sorted)
  table.sort(old)
  self.list, self.until_ms = list, until_ms
  return table.concat(sorted, " ") ~= table.concat(old, " ")
end

function peers:failed(address, now_ms)
  for _, known in ipairs(self.list) do
    if known == address then
      self.until_ms[address] = now_ms + peers.FAILED_MS
    end
  end
end

function peers:reached(address)
  self.until_ms[address] = nil
end

-- 1 to 4, best first.
local function rank(self, address, now_ms)
  local v6 = address:byte() == 91 and 1 or 0
  return (self.until_ms[address] or 0) > now_ms and 3 + v6 or 1 + v6
end

-- The next address; `tried` has those of this request as keys. nil if all have been tried.
function peers:pick(now_ms, tried)
  local list, best, best_rank = self.list, nil, 5
  local n = #list
  if n == 1 then
    return not (tried and tried[list[1]]) and list[1] or nil
  end
  self.turn = self.turn + 1
  for i = 0, n - 1 do
    local address = list[(self.turn + i) % n + 1]
    if not (tried and tried[address]) then
      local its_rank = rank(self, address, now_ms)
      if its_rank < best_rank then
        best, best_rank = address, its_rank
      end
    end
  end
  return best
end

return peers
