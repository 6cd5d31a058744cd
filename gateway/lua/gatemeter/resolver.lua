-- Keeps the addresses of the few names that the gateway connects to, for their time to live.
-- start() names them in init_worker; a timer reads /etc/hosts when it changes and asks the name
-- servers when an address has run out; pick() gives an address at once, wait() waits for the first.
-- It must never hold up a request that has an address, nor drop one because a name server is down.
local dns = require("gatemeter.dns")
local lookup = require("gatemeter.lookup")
local metrics = require("gatemeter.metrics")
local names = require("gatemeter.names")
local peers = require("gatemeter.peers")
local system = require("gatemeter.system")

local resolver = {}

-- An address is asked for again as its time to live says, within these bounds: a server that says
-- 0 is not asked for each request, and a move is seen although the time to live is a day.
local TTL_MIN_S, TTL_MAX_S = 1, 30
local LOOK_EVERY_S = 0.5
-- So long IPv6 is not asked for where servers leave that question, and that one alone, unanswered:
-- each time would keep a new IPv4 address waiting.
local NO_V6_MS = 60000
-- Waits after lookups that failed, doubling.
local RETRY_MIN_MS, RETRY_MAX_MS = 1000, 5000
-- A server that says "no such name" so often in a row is believed, and the address is let go.
local GONE_MAX = 3
-- Datagrams read for one question: those that answer something else are passed over.
local DATAGRAMS_MAX = 16
-- How often a lookup looks whether the worker ends.
local SLICE_MS = 200
local DATAGRAM_BYTES_MAX = 4096
local FILE_BYTES_MAX = names.HOSTS_BYTES_MAX
local LOCAL = { "127.0.0.1", "[::1]" }

local state = ngx.shared.gatemeter_state
local entries = {}
local options
local hosts_text, hosts_problem
local conf, conf_text

local function count(name, label)
  state:incr(metrics.key(name, label), 1, 0)
end

local function read_file(path)
  local file, err = io.open(path, "rb")
  if not file then
    return nil, err
  end
  local text = file:read(FILE_BYTES_MAX)
  file:close()
  return text or ""
end

local function read_hosts()
  local text, err = read_file(options.hosts)
  hosts_problem = err
  local changed = text ~= hosts_text
  hosts_text = text
  return changed
end

-- Name servers, read again when the file has changed; those the operator named win.
local function name_servers()
  local text = read_file(options.resolv_conf) or ""
  if text ~= conf_text then
    conf_text, conf = text, names.resolv_conf(text)
    if options.servers then
      conf.servers = options.servers
    end
  end
  return conf
end

local function key_of(entry)
  return "address|" .. entry.name
end

local function keep(entry, addresses, from)
  local had = #entry.peers.list > 0
  if entry.peers:set(addresses) then
    state:set(key_of(entry), table.concat(addresses, " "))
    if had then
      count("address_changes_total", entry.role)
    end
    ngx.log(ngx.NOTICE, "gatemeter: ", entry.role, " ", entry.name, " is at ",
            table.concat(entry.peers.list, ", "), " (", from, ")")
  end
  entry.known_ms = system.monotonic_ms()
end

local function settled(entry, problem)
  if problem and problem ~= entry.problem then
    ngx.log(ngx.WARN, "gatemeter: ", entry.role, " ", entry.name, ": ", problem)
  end
  entry.problem, entry.tried = problem, true
end

-- Whether the name needs no name server: an address itself, in /etc/hosts, or the machine's own.
local function find_at_hand(entry)
  local addresses = entry.fixed and { entry.fixed } or names.in_hosts(hosts_text or "", entry.name)
  if #addresses == 0 and (entry.name == "localhost" or entry.name:find("%.localhost$")) then
    addresses = LOCAL
  end
  entry.at_hand = #addresses > 0
  if entry.at_hand then
    keep(entry, addresses, entry.fixed and "given" or options.hosts)
    settled(entry, nil)
  end
  return entry.at_hand
end

local function receive(sock, read, wait_ms)
  local deadline = system.monotonic_ms() + wait_ms
  local reason = "did not answer in time"
  for _ = 1, DATAGRAMS_MAX + math.ceil(wait_ms / SLICE_MS) do
    local left = deadline - system.monotonic_ms()
    if left <= 0 or ngx.worker.exiting() then
      return nil, reason
    end
    -- Whole milliseconds: nginx takes what is below one for its default of a minute.
    sock:settimeout(math.ceil(math.min(left, SLICE_MS)))
    local bytes, err = sock:receive(DATAGRAM_BYTES_MAX)
    if bytes then
      local reply, problem, is_other = read(bytes)
      if reply or not is_other then
        return reply, problem
      end
      reason = problem
    elseif err ~= "timeout" then
      return nil, "cannot be reached: " .. err
    end
  end
  return nil, reason
end

local function udp(server, query, read, wait_ms)
  local sock = ngx.socket.udp()
  local ok, err = sock:setpeername(server.address, server.port)
  if ok then
    ok, err = sock:send(query)
  end
  if not ok then
    return nil, "cannot be reached: " .. tostring(err)
  end
  local reply
  reply, err = receive(sock, read, wait_ms)
  sock:close()
  return reply, err
end

-- The same by TCP, where two bytes say the length (RFC 1035, 4.2.2).
local function tcp(server, query, read, wait_ms)
  local sock = ngx.socket.tcp()
  sock:settimeout(math.ceil(wait_ms))
  local ok, err = sock:connect(server.address, server.port)
  if not ok then
    return nil, "sent an answer cut short and cannot be reached by TCP: " .. tostring(err)
  end
  local bytes
  ok, err = sock:send(string.char(math.floor(#query / 256), #query % 256) .. query)
  if ok then
    bytes, err = sock:receive(2)
    bytes, err = bytes and sock:receive(bytes:byte(1) * 256 + bytes:byte(2)), err
  end
  sock:close()
  if not bytes then
    return nil, "broke off by TCP: " .. tostring(err)
  end
  return read(bytes)
end

local TOOLS = {
  udp = udp, tcp = tcp, now_ms = system.monotonic_ms,
  stopping = function() return ngx.worker.exiting() end,
  id = function() return tonumber(system.random_hex(2), 16) end,
}

local function clamp_s(ttl_s)
  return math.min(math.max(ttl_s or TTL_MIN_S, TTL_MIN_S), TTL_MAX_S)
end

-- The addresses of a family that are known, to serve on when it could not be asked for.
local function family_of(entry, wants_v6)
  local list = {}
  for _, address in ipairs(entry.peers.list) do
    if (address:byte() == 91) == wants_v6 then
      list[#list + 1] = address
    end
  end
  return { addresses = list, ttl_s = TTL_MAX_S }
end

-- `v4` and `v6` are what lookups gave, or nil for a family whose addresses stay.
local function found(entry, v4, v6)
  local addresses, ttl_s = {}, TTL_MAX_S
  for _, one in ipairs({ v4 or family_of(entry, false), v6 or family_of(entry, true) }) do
    ttl_s = math.min(ttl_s, one.ttl_s or TTL_MIN_S)
    for _, address in ipairs(one.addresses) do
      addresses[#addresses + 1] = address
    end
  end
  entry.n_failures, entry.n_gone = 0, 0
  entry.due_ms = system.monotonic_ms() + clamp_s(ttl_s) * 1000
  keep(entry, addresses, "name server")
  settled(entry, nil)
end

local function not_found(entry, problem, is_gone)
  count("lookups_total", is_gone and "not_found" or "failed")
  entry.n_failures = entry.n_failures + 1
  local wait = RETRY_MIN_MS * 2 ^ math.min(entry.n_failures - 1, 8)
  entry.due_ms = system.monotonic_ms() + math.min(wait, RETRY_MAX_MS)
  entry.n_gone = is_gone and entry.n_gone + 1 or 0
  if entry.n_gone >= GONE_MAX and #entry.peers.list > 0 then
    entry.peers:set({})
    state:delete(key_of(entry))
  end
  settled(entry, problem)
end

local NONE = { addresses = {}, ttl_s = TTL_MAX_S }

-- Both families at once; IPv4 does not wait for servers that are silent about IPv6.
local function look_up(entry)
  local servers, began_ms = name_servers(), system.monotonic_ms()
  local function ask(kind)
    return lookup.find(TOOLS, servers, entry.name, kind)
  end
  local other = began_ms >= entry.v6_after_ms and ngx.thread.spawn(ask, dns.AAAA)
  local v4, problem, v4_gone = ask(dns.A)
  if v4 and not entry.at_hand then
    found(entry, v4)
  end
  local v6, v6_problem, v6_gone
  if other then
    local ok, reply, reason, is_gone = ngx.thread.wait(other)
    v6, v6_problem, v6_gone = ok and reply, reason or reply, is_gone
    entry.v6_after_ms = v4 and not v6 and not v6_gone and began_ms + NO_V6_MS or 0
  elseif not v4 then
    entry.v6_after_ms = 0
  end
  if entry.at_hand or ngx.worker.exiting() then
    return
  elseif v4 or v6 then
    count("lookups_total", "ok")
    return found(entry, v4 or v4_gone and NONE, v6 or v6_gone and NONE)
  end
  -- Both must say that there is none; else the reason is that of the one that could not be asked.
  not_found(entry, v4_gone and not v6_gone and v6_problem or problem, v4_gone and v6_gone)
end

local function run(premature, entry)
  if premature then
    entry.looking = false
    return
  end
  local ok, err = pcall(look_up, entry)
  entry.looking = false
  if not ok then
    not_found(entry, "the lookup failed: " .. tostring(err), false)
  end
end

local function look_at_hosts()
  if read_hosts() then
    for _, entry in ipairs(entries) do
      if not entry.fixed then
        find_at_hand(entry)
      end
    end
  end
end

local function look(premature)
  if premature then
    return
  end
  look_at_hosts()
  for _, entry in ipairs(entries) do
    if not entry.at_hand and not entry.looking and system.monotonic_ms() >= entry.due_ms then
      -- A timer of its own: what it used is freed when it ends, and it holds up no other name.
      entry.looking = ngx.timer.at(0, run, entry) and true or false
    end
  end
end

-- `given`: servers (of names.servers) or nil, and the paths of the two files. Called once in init.
function resolver.init(given)
  options = { servers = given.servers, hosts = given.hosts or "/etc/hosts",
              resolv_conf = given.resolv_conf or "/etc/resolv.conf" }
end

-- Adds a name under a role (`upstream`, `ingest`) that messages and metrics name it by.
function resolver.add(role, host)
  local entry = { role = role, name = host:lower(), fixed = names.address(host),
                  peers = peers.new(), due_ms = 0, v6_after_ms = 0, n_failures = 0, n_gone = 0 }
  entries[#entries + 1], entries[role] = entry, entry
end

-- Called in init_worker. After a reload the addresses that were known last serve until newer come.
function resolver.start()
  read_hosts()
  for _, entry in ipairs(entries) do
    if not find_at_hand(entry) then
      local known = state:get(key_of(entry))
      local addresses = {}
      for word in (known or ""):gmatch("%S+") do
        addresses[#addresses + 1] = word
      end
      entry.peers:set(addresses)
    end
  end
  assert(ngx.timer.every(LOOK_EVERY_S, look))
  ngx.timer.at(0, look)
end

-- Waits until a name has an address or is known to have none, at most so long.
function resolver.wait(role, wait_s)
  local entry = entries[role]
  if #entry.peers.list > 0 then
    return
  end
  local deadline = system.monotonic_ms() + wait_s * 1000
  while #entry.peers.list == 0 and not entry.tried and system.monotonic_ms() < deadline do
    ngx.sleep(0.01)
  end
end

-- The address for an attempt, and how many there are; nil and the reason if there is none.
function resolver.pick(role, tried)
  local entry = entries[role]
  -- Records of failures, and with them the time, matter only among several.
  local now_ms = #entry.peers.list > 1 and system.monotonic_ms() or 0
  local address = entry.peers:pick(now_ms, tried)
  if address then
    return address, #entry.peers.list
  end
  return nil, entry.problem or "not resolved yet"
end

-- No connection to an address could be made: it goes last for a while, and the name may have moved.
function resolver.failed(role, address)
  local entry = entries[role]
  local now = system.monotonic_ms()
  entry.peers:failed(address, now)
  count("connect_failures_total", role)
  look_at_hosts()
  if not entry.problem then
    entry.due_ms = math.min(entry.due_ms, (entry.known_ms or now) + TTL_MIN_S * 1000)
  end
end

-- A connection to an address was made.
function resolver.reached(role, address)
  entries[role].peers:reached(address)
end

-- Lines about names with a problem, and whether requests can be served.
function resolver.report()
  local lines, serves = {}, true
  for _, entry in ipairs(entries) do
    local n = #entry.peers.list
    local problem = entry.problem or n == 0 and "not resolved yet" or nil
    if problem then
      serves = serves and (n > 0 or entry.role ~= "upstream")
      local since = entry.known_ms and (", known for %d s"):format(
        (system.monotonic_ms() - entry.known_ms) / 1000) or ""
      lines[#lines + 1] = ("%s %s: %s; %s"):format(entry.role, entry.name, problem, n > 0
        and "serving with " .. table.concat(entry.peers.list, ", ") .. since or "no address")
    end
  end
  if hosts_problem then
    lines[#lines + 1] = hosts_problem
  end
  return lines, serves
end

return resolver
