-- Finds the addresses of a name by asking name servers: which one, for which full name, how often.
-- find() queries one family (A or AAAA) and returns the result; the transport is injected. Pure; it
-- must end within its time whatever the servers do, and must never take a server that is silent or
-- broken for one that says there is no such name.
local dns = require("gatemeter.dns")
local names = require("gatemeter.names")

local lookup = {}

-- Each server is asked twice; a datagram may be lost.
local WAITS_MS = { 1000, 2000 }
lookup.TIME_MS_MAX = 10000
-- Longest CNAME chain, over several answers.
local HOPS_MAX = 8

-- One question to one server, by TCP if the answer does not fit a datagram.
local function ask(tools, server, name, kind, wait_ms)
  local id = tools.id()
  local query, err = dns.query(id, name, kind)
  if not query then
    return nil, err
  end
  local function read(bytes)
    return dns.read(bytes, id, name, kind)
  end
  local reply
  reply, err = tools.udp(server, query, read, wait_ms)
  if reply and reply.truncated then
    local whole
    whole, err = tools.tcp(server, query, read, wait_ms)
    if whole then
      return whole
    elseif #reply.addresses == 0 then
      return nil, err
    end
  end
  return reply, err
end

-- One full name, with a server that answers. `conf.first` remembers which one did.
local function ask_servers(tools, conf, name, kind, deadline_ms)
  local reason = "there is no time left"
  for _, wait_ms in ipairs(WAITS_MS) do
    local first = conf.first or 1
    for i = 0, #conf.servers - 1 do
      local at = (first - 1 + i) % #conf.servers + 1
      local left_ms = deadline_ms - tools.now_ms()
      if left_ms <= 0 or tools.stopping() then
        return nil, reason
      end
      local reply, err = ask(tools, conf.servers[at], name, kind, math.min(wait_ms, left_ms))
      if reply then
        conf.first = at
        return reply
      end
      reason = "name server " .. conf.servers[at].text .. " " .. tostring(err)
    end
  end
  return nil, reason
end

-- One full name through CNAME records that end in names which have to be asked for again.
local function ask_through(tools, conf, name, kind, deadline_ms)
  local ttl_s
  for _ = 1, HOPS_MAX do
    local reply, err = ask_servers(tools, conf, name, kind, deadline_ms)
    if not reply then
      return nil, err
    end
    ttl_s = math.min(ttl_s or math.huge, reply.ttl_s or math.huge)
    if #reply.addresses > 0 or reply.name == name:lower() or not reply.exists then
      reply.ttl_s = ttl_s
      return reply
    end
    name = reply.name
  end
  return nil, "its CNAME records go round in a circle or are too many"
end

-- `tools`: udp and tcp(server, query, read, wait_ms) -> what read made of the answer, or nil and a
-- reason; id(), now_ms(), stopping(). `conf`: servers, search, ndots, first.
-- Returns { addresses, ttl_s }; or nil, the reason, and true if the servers say that there is none.
function lookup.find(tools, conf, name, kind)
  local deadline_ms = tools.now_ms() + lookup.TIME_MS_MAX
  local exists, failed = false, nil
  for _, full in ipairs(names.candidates(name, conf.search, conf.ndots)) do
    local reply, err = ask_through(tools, conf, full, kind, deadline_ms)
    if reply and #reply.addresses > 0 then
      return { addresses = reply.addresses, ttl_s = reply.ttl_s }
    elseif reply then
      exists = exists or reply.exists
    else
      failed = failed or err
    end
  end
  if failed then
    return nil, failed
  end
  return nil, exists and "the name has no address" or "there is no such name", true
end

return lookup
