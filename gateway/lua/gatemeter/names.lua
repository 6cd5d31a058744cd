-- Reads what the system knows about names: addresses as text, /etc/hosts, /etc/resolv.conf.
-- Text goes in, addresses, name servers and the names to ask for come out. IPv6 addresses stand in
-- brackets, as nginx wants them. Pure; what it reads is bounded, and a line that it cannot read
-- must never hide the others.
local ffi = require("ffi")

local names = {}

ffi.cdef([[ int inet_pton(int family, const char *text, void *address); ]])

local INET, INET6 = 2, 10
local binary = ffi.new("unsigned char[16]")

names.HOSTS_BYTES_MAX = 1024 * 1024
local ADDRESSES_MAX = 16
-- As many as glibc asks.
local SERVERS_MAX, SEARCH_MAX, NDOTS_MAX = 3, 6, 15

-- The address that a text is, or nil: IPv4, or IPv6 with brackets or without.
function names.address(text)
  local inner = text:match("^%[(.*)%]$")
  if not inner and ffi.C.inet_pton(INET, text, binary) == 1 then
    return text
  end
  inner = (inner or text):lower()
  if ffi.C.inet_pton(INET6, inner, binary) == 1 then
    return "[" .. inner .. "]"
  end
end

-- Splits `host:port`, `[v6]:port` and either without a port.
function names.split(text, default_port)
  local host, port = text:match("^(%[[^%]]*%]):?(%d*)$")
  if not host then
    host, port = text:match("^([^:]*):?(%d*)$")
  end
  if not host and names.address(text) then
    host, port = text, ""
  end
  if not host or host == "" then
    return nil
  end
  port = port == "" and default_port or tonumber(port)
  return port and port >= 1 and port <= 65535 and host or nil, port
end

-- Addresses of a name in the text of a hosts file, in order, without repeats.
function names.in_hosts(text, name)
  local found, seen = {}, {}
  name = name:lower():gsub("%.$", "")
  for line in text:gmatch("[^\r\n]+") do
    local address, rest = line:gsub("#.*", ""):match("^%s*(%S+)%s+(.+)$")
    if address then
      for word in rest:gmatch("%S+") do
        local known = word:lower() == name and names.address(address)
        if known and not seen[known] and #found < ADDRESSES_MAX then
          seen[known] = true
          found[#found + 1] = known
        end
      end
    end
  end
  return found
end

local function server(text)
  local host, port = names.split(text, 53)
  local address = host and names.address(host)
  return address and { address = address, port = port, text = text }
end

-- The text of resolv.conf as { servers, search, ndots }; without servers the local one is asked.
function names.resolv_conf(text)
  local conf = { servers = {}, search = {}, ndots = 1 }
  for line in text:gmatch("[^\r\n]+") do
    local key, rest = line:match("^(%a+)%s+(.-)%s*$")
    if key == "nameserver" then
      local one = server(rest:match("^[^%s#;]*"))
      if one and #conf.servers < SERVERS_MAX then
        conf.servers[#conf.servers + 1] = one
      end
    elseif key == "search" or key == "domain" then
      conf.search = {}
      for word in rest:gmatch("[^%s]+") do
        if #conf.search < SEARCH_MAX then
          conf.search[#conf.search + 1] = (word:gsub("%.$", ""))
        end
      end
    elseif key == "options" then
      local ndots = tonumber((" " .. rest):match("%sndots:(%d+)"))
      conf.ndots = ndots and math.min(ndots, NDOTS_MAX) or conf.ndots
    end
  end
  if #conf.servers == 0 then
    conf.servers[1] = server("127.0.0.1")
  end
  return conf
end

-- Name servers that the operator has named: addresses with or without a port, by commas.
function names.servers(text)
  local servers = {}
  for word in text:gmatch("[^,%s]+") do
    local one = server(word)
    if not one then
      return nil, "'" .. word .. "' is no address of a name server"
    end
    if #servers == SERVERS_MAX then
      return nil, "names more than 3 name servers"
    end
    servers[#servers + 1] = one
  end
  return servers
end

-- The full names that a name may stand for, in the order in which they are asked for.
function names.candidates(name, search, ndots)
  if name:find("%.$") then
    return { (name:gsub("%.$", "")) }
  end
  local _, dots = name:gsub("%.", "")
  local list = {}
  for _, domain in ipairs(search) do
    if domain ~= "" then
      list[#list + 1] = name .. "." .. domain
    end
  end
  table.insert(list, dots >= ndots and 1 or #list + 1, name)
  return list
end

return names
