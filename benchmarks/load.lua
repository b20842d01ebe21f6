-- What wrk sends: callbacks of the template file with an id of their own each, so that every answer can be looked up in
-- the topics. Arguments: template file, run (8 characters), name and value of the header that authenticates.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

-- A template as a list of texts, and the positions in it that differ from request to request.
local function read(line)
  local pieces, places = {}, {}
  local from = 1
  while true do
    local first, last, name = line:find("%%(%u+)%%", from)
    pieces[#pieces + 1] = line:sub(from, first and first - 1)
    if not first then break end
    pieces[#pieces + 1] = ""
    places[#places + 1] = {#pieces, name}
    from = last + 1
  end
  return {pieces = pieces, places = places}
end

function init(args)
  run, count = args[2], 0
  values = {}
  refresh()
  templates = {}
  for line in io.lines(args[1]) do
    local template = read(line)
    fill(template)
    local body = table.concat(template.pieces)
    local head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nUser-Agent: benchmark\r\nAccept: */*\r\n" ..
      "Content-Type: application/json\r\n" .. args[3] .. ": " .. args[4] .. "\r\nContent-Length: " .. #body .. "\r\n\r\n"
    template.pieces[1] = head .. template.pieces[1]
    templates[#templates + 1] = template
  end
end

function refresh()
  values.ID = string.format("wamid.HBgM%s%02d%010dFQIAEhggQUJDREVGR0hJSktMTU4A", run, number, count)
  values.NUMBER = string.format("39333%07d", count * 7919 % 50000)
  if count % 1000 == 0 then values.TIME = tostring(os.time()) end
end

function fill(template)
  for _, place in ipairs(template.places) do template.pieces[place[1]] = values[place[2]] end
end

function request()
  count = count + 1
  refresh()
  local template = templates[count % #templates + 1]
  fill(template)
  return table.concat(template.pieces)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "refused": %d, "broken": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
