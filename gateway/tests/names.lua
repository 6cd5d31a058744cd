-- Tests of how names become addresses: DNS packets, hosts files, which server is asked, which
-- address is taken. It must never need a network: the servers are functions.
local check = require("check")
local dns = require("gatemeter.dns")
local lookup = require("gatemeter.lookup")
local names = require("gatemeter.names")
local peers = require("gatemeter.peers")

local tests = {}

local function word(n)
  return string.char(math.floor(n / 256) % 256, n % 256)
end

local function encode(name)
  return name == "" and "\0" or name:gsub("([^.]+)%.?", function(label)
    return string.char(#label) .. label
  end) .. "\0"
end

local function record(name, kind, ttl_s, data, class)
  return encode(name) .. word(kind) .. word(class or 1) .. word(math.floor(ttl_s / 65536))
    .. word(ttl_s % 65536) .. word(#data) .. data
end

local function alias(name, target, ttl_s)
  return record(name, 5, ttl_s, encode(target))
end

local V6 = ("\32\1\13\184"):rep(4)

-- An answer to a question; `how`: id, code, truncated, flags, question, n_records, kind.
local function reply(name, records, how)
  how = how or {}
  local flags = string.char(0x81 + (how.truncated and 2 or 0), 0x80 + (how.code or 0))
  return word(how.id or 7) .. (how.flags or flags) .. "\0\1" .. word(how.n_records or #records)
    .. "\0\0\0\0" .. encode(how.question or name) .. word(how.kind or dns.A) .. "\0\1"
    .. table.concat(records)
end

local function read(bytes, name)
  return dns.read(bytes, 7, name or "llm.test", dns.A)
end

function tests.a_question_names_id_labels_kind_and_class()
  check.equal(dns.query(258, "ab.c", dns.AAAA), "\1\2\1\0\0\1\0\0\0\0\0\0\2ab\1c\0\0\28\0\1")
  for _, bad in ipairs({ "a..b", ".a", ("a"):rep(64) .. ".b", ("abc."):rep(64) .. "a" }) do
    check.equal(dns.query(1, bad, dns.A), nil, bad)
  end
end

function tests.addresses_of_both_families_are_read_with_the_shortest_time_to_live()
  local reported = read(reply("llm.test", { record("llm.test", 1, 90, "\10\0\0\1"),
                                        record("LLM.test", 1, 20, "\10\0\0\2") }))
  check.equal({ reported.addresses, reported.ttl_s }, { { "10.0.0.1", "10.0.0.2" }, 20 })
  local v6 = dns.read(reply("llm.test", { record("llm.test", 28, 5, V6) }, { kind = dns.AAAA }),
                      7, "llm.test", dns.AAAA)
  check.equal(v6.addresses, { "[2001:db8:2001:db8:2001:db8:2001:db8]" })
end

function tests.a_chain_of_aliases_is_followed_in_any_order_and_a_circle_is_refused()
  local reported = read(reply("llm.test", { record("c.test", 1, 60, "\10\0\0\9"),
                                        alias("b.test", "c.test", 7),
                                        alias("llm.test", "B.test", 50) }))
  check.equal({ reported.addresses, reported.ttl_s }, { { "10.0.0.9" }, 7 })
  reported = read(reply("llm.test", { alias("llm.test", "b.test", 9) }))
  check.equal({ reported.addresses, reported.name, reported.ttl_s }, { {}, "b.test", 9 })
  local circle = { alias("llm.test", "b.test", 9), alias("b.test", "llm.test", 9) }
  check.equal(read(reply("llm.test", circle)), nil)
end

function tests.records_of_other_names_kinds_and_classes_give_no_address()
  local reported = read(reply("llm.test", { record("other.test", 1, 9, "\10\0\0\1"),
    record("llm.test", 1, 9, "\10\0\0\2", 3), record("llm.test", 1, 9, "\10\0\0"),
    record("llm.test", 16, 9, "\4text"), record("llm.test", 28, 9, V6) }))
  check.equal(reported.addresses, {})
end

function tests.a_compressed_name_is_read_and_pointers_in_a_circle_end()
  local reported = read(reply("llm.test", { "\192\12\0\1\0\1\0\0\0\5\0\4\10\1\2\3" }))
  check.equal(reported.addresses, { "10.1.2.3" })
  -- The record's name points at itself: header 12, question 14.
  check.equal(read(reply("llm.test", { "\192\26\0\1\0\1\0\0\0\5\0\4\10\1\2\3" })), nil)
end

function tests.answers_to_other_questions_are_passed_over()
  local good = { record("llm.test", 1, 9, "\10\0\0\1") }
  for what, how in pairs({ id = { id = 8 }, question = { question = "evil.test" },
                           kind = { kind = 28 }, query = { flags = "\1\0" } }) do
    local reported, _, is_other = read(reply("llm.test", good, how))
    check.equal({ reported, is_other }, { nil, true }, what)
  end
end

function tests.errors_of_a_server_are_reported_and_no_such_name_is_an_answer()
  local _, problem, is_other = read(reply("llm.test", {}, { code = 2 }))
  check.equal({ problem, is_other }, { "answered SERVFAIL" })
  check.equal(read(reply("llm.test", {}, { code = 3 })).exists, false)
  check.equal(read(reply("llm.test", {})).exists, true)
end

function tests.a_truncated_answer_keeps_what_is_whole_and_others_must_be_whole()
  local whole = record("llm.test", 1, 9, "\10\0\0\1")
  local records = { whole, whole:sub(1, -3) }
  check.equal(read(reply("llm.test", records, { truncated = true })).addresses, { "10.0.0.1" })
  check.equal(read(reply("llm.test", records)), nil)
end

function tests.whatever_bytes_come_reading_ends_without_an_error()
  local good = reply("llm.test", { alias("llm.test", "b.test", 9),
                                   record("b.test", 1, 9, "\10\0\0\1") })
  for size = 0, #good do
    local reported = read(good:sub(1, size))
    assert(size == #good or not reported or #reported.addresses == 0, "cut at " .. size)
  end
  for _ = 1, 20000 do
    local bytes = { good:byte(1, -1) }
    for _ = 1, math.random(1, 6) do
      bytes[math.random(3, #bytes)] = math.random(0, 255)
    end
    read(string.char(unpack(bytes)))
  end
end

function tests.a_hosts_file_is_read_with_comments_aliases_and_bad_lines()
  local text = "127.0.0.1 localhost\n# 10.0.0.1 llm.test\n10.0.0.2\tx LLM.test # llm2.test\n"
    .. "fe80::1%eth0 llm.test\n10.0.0.300 llm.test\r\n2001:DB8::1 llm.test\n10.0.0.2 llm.test\n"
  check.equal(names.in_hosts(text, "llm.test."), { "10.0.0.2", "[2001:db8::1]" })
  check.equal(names.in_hosts(text, "llm2.test"), {})
end

function tests.name_servers_search_list_and_dots_are_read()
  local conf = names.resolv_conf("nameserver 10.0.0.2\nnameserver fd00::2\nnameserver bad\n"
    .. "domain old.test\nsearch a.test b.test.\noptions timeout:1 ndots:2\n")
  check.equal({ conf.servers[1].address, conf.servers[2].address, #conf.servers },
              { "10.0.0.2", "[fd00::2]", 2 })
  check.equal(names.candidates("llm", conf.search, conf.ndots),
              { "llm.a.test", "llm.b.test", "llm" })
  check.equal(names.candidates("x.y.z", conf.search, conf.ndots)[1], "x.y.z")
  check.equal(names.candidates("llm.", conf.search, conf.ndots), { "llm" })
  check.equal(names.resolv_conf("").servers[1].address, "127.0.0.1")
  check.equal(names.servers("10.0.0.2:5353,[::1]")[2], { address = "[::1]", port = 53,
                                                         text = "[::1]" })
  check.equal(names.servers("dns.test"), nil)
end

function tests.hosts_and_ports_are_split()
  for text, expected in pairs({ ["a.b:81"] = { "a.b", 81 }, ["a.b"] = { "a.b", 80 },
    ["[::1]"] = { "[::1]", 80 }, ["[::1]:81"] = { "[::1]", 81 }, ["::1"] = { "::1", 80 },
    ["a.b:0"] = {}, [":80"] = {}, ["a:b:80"] = {} }) do
    local host, port = names.split(text, 80)
    check.equal({ host, host and port }, expected, text)
  end
end

-- Servers by address: each a function from name and kind to bytes, or nothing for silence.
local function world(servers, list)
  local now, asked = 0, {}
  local function send(transport)
    return function(server, query, read_answer, wait_ms)
      local name = query:sub(14, -6):gsub("[%z\1-\31]", ".")
      local kind = query:byte(-3)
      asked[#asked + 1] = server.address .. " " .. name .. " " .. transport
      local bytes = servers[server.address](name, kind, transport)
      if not bytes then
        now = now + wait_ms
        return nil, "did not answer in time"
      end
      local reported, err = read_answer(bytes)
      return reported, err
    end
  end
  local tools = { udp = send("udp"), tcp = send("tcp"), now_ms = function() return now end,
                  id = function() return 7 end, stopping = function() return false end }
  local conf = { servers = {}, search = list or {}, ndots = 1 }
  for _, address in ipairs({ "1.1.1.1", "2.2.2.2" }) do
    conf.servers[#conf.servers + 1] = servers[address] and { address = address, port = 53,
                                                             text = address } or nil
  end
  return tools, conf, asked, function() return now end
end

local function found(name)
  return reply(name, { record(name, 1, 9, "\10\0\0\1") })
end

function tests.a_silent_server_is_left_for_the_next_which_is_asked_first_from_then_on()
  local tools, conf, asked = world({ ["1.1.1.1"] = function() end, ["2.2.2.2"] = found })
  check.equal(lookup.find(tools, conf, "llm.test", dns.A).addresses, { "10.0.0.1" })
  check.equal(lookup.find(tools, conf, "llm.test", dns.A).addresses, { "10.0.0.1" })
  check.equal(asked, { "1.1.1.1 llm.test udp", "2.2.2.2 llm.test udp", "2.2.2.2 llm.test udp" })
end

function tests.servers_that_are_all_silent_or_broken_say_nothing_about_the_name()
  local tools, conf, asked, now = world({ ["1.1.1.1"] = function() end, ["2.2.2.2"] = function(name)
    return reply(name, {}, { code = 2 })
  end }, { "a.test", "b.test" })
  local reported, reason, is_gone = lookup.find(tools, conf, "llm", dns.A)
  check.equal({ reported, is_gone }, {})
  assert(reason:find("SERVFAIL", 1, true) or reason:find("did not answer", 1, true), reason)
  assert(now() <= lookup.TIME_MS_MAX and #asked < 40, "bounded")
end

function tests.the_search_list_is_tried_and_only_answers_of_all_say_there_is_none()
  local tools, conf = world({ ["1.1.1.1"] = function(name)
    return name == "llm.b.test" and found(name) or reply(name, {}, { code = 3 })
  end }, { "a.test", "b.test" })
  check.equal(lookup.find(tools, conf, "llm", dns.A).addresses, { "10.0.0.1" })
  local _, reason, is_gone = lookup.find(tools, conf, "gpt", dns.A)
  check.equal({ reason, is_gone }, { "there is no such name", true })
end

function tests.a_truncated_answer_is_fetched_by_tcp_or_used_as_far_as_it_goes()
  local by_tcp = true
  local tools, conf = world({ ["1.1.1.1"] = function(name, _, transport)
    local records = { record(name, 1, 9, "\10\0\0\1"), record(name, 1, 9, "\10\0\0\2") }
    if transport == "udp" then
      return reply(name, { records[1] }, { truncated = true })
    end
    return by_tcp and reply(name, records) or nil
  end })
  check.equal(#lookup.find(tools, conf, "llm.test", dns.A).addresses, 2)
  by_tcp = false
  check.equal(#lookup.find(tools, conf, "llm.test", dns.A).addresses, 1)
end

function tests.aliases_over_several_answers_are_followed_and_end()
  local tools, conf = world({ ["1.1.1.1"] = function(name)
    local n = tonumber(name:match("^n(%d+)%."))
    return n == 0 and found(name) or reply(name, { alias(name, ("n%d.test"):format(n - 1), n) })
  end })
  check.equal(lookup.find(tools, conf, "n3.test", dns.A), { addresses = { "10.0.0.1" }, ttl_s = 1 })
  check.equal(lookup.find(tools, conf, "n30.test", dns.A), nil)
end

function tests.addresses_are_taken_in_turn_and_a_dead_one_is_skipped_for_a_while()
  local list = peers.new()
  check.equal(list:set({ "[::1]", "10.0.0.1", "10.0.0.2" }), true)
  check.equal(list:set({ "10.0.0.2", "10.0.0.1", "[::1]" }), false, "the same in another order")
  local function taken(now_ms)
    local seen = {}
    for _ = 1, 30 do
      local address = list:pick(now_ms)
      seen[address] = (seen[address] or 0) + 1
    end
    return seen
  end
  local both = taken(0)
  check.equal({ both["[::1]"], both["10.0.0.1"] + both["10.0.0.2"] }, { nil, 30 })
  assert(both["10.0.0.1"] >= 10 and both["10.0.0.2"] >= 10, "in turn")
  list:failed("10.0.0.1", 0)
  check.equal(taken(1), { ["10.0.0.2"] = 30 })
  list:failed("10.0.0.2", 0)
  check.equal(taken(1), { ["[::1]"] = 30 })
  list:reached("10.0.0.1")
  check.equal(taken(1), { ["10.0.0.1"] = 30 })
  assert(taken(peers.FAILED_MS)["10.0.0.2"], "the failure is forgotten")
end

function tests.every_address_is_tried_once_for_a_request_and_a_lone_one_whatever_its_record()
  local list = peers.new()
  list:set({ "10.0.0.1", "[::1]", "10.0.0.2" })
  local tried, order = {}, {}
  for i = 1, 3 do
    order[i] = list:pick(0, tried)
    tried[order[i]] = true
    list:failed(order[i], 0)
  end
  check.equal({ #order, order[3], list:pick(0, tried) }, { 3, "[::1]" })
  list:set({ "10.0.0.1" })
  check.equal(list:pick(1), "10.0.0.1")
  list:set({})
  check.equal(list:pick(1), nil)
end

return tests
