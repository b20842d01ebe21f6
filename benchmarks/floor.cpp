// What the same work costs without Python, in two parts. `json FILE SECONDS`: parse callbacks and write all that is in them as
// Avro. `kafka SERVERS FILE SECONDS`: produce records that the bridge made, with keys and headers, 256 callbacks under way.
// Prints JSON: callbacks, seconds, CPU µs per callback of all threads.
#include <librdkafka/rdkafka.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <simdjson.h>

static const int UNDER_WAY = 256;

static double cpu_us() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  auto us = [](timeval t) { return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec); };
  return us(used.ru_utime) + us(used.ru_stime);
}

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void print(long callbacks, double seconds, double cpu, size_t bytes) {
  std::printf("{\"callbacks\": %ld, \"seconds\": %.3f, \"cpu_us_per_callback\": %.3f, \"bytes\": %zu}\n", callbacks, seconds,
              cpu / static_cast<double>(callbacks), bytes);
}

static void write_long(std::string &to, int64_t value) {
  uint64_t zigzag = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  while (zigzag > 127) {
    to.push_back(static_cast<char>(zigzag | 128));
    zigzag >>= 7;
  }
  to.push_back(static_cast<char>(zigzag));
}

// Every value as the branch of a union and its content, as the bridge's nullable fields are.
static void write(std::string &to, simdjson::dom::element value) {
  using simdjson::dom::element_type;
  switch (value.type()) {
    case element_type::OBJECT:
      for (auto field : simdjson::dom::object(value)) write(to, field.value);
      break;
    case element_type::ARRAY:
      for (auto item : simdjson::dom::array(value)) write(to, item);
      break;
    case element_type::STRING: {
      std::string_view text = value;
      write_long(to, 1);
      write_long(to, static_cast<int64_t>(text.size()));
      to.append(text);
      break;
    }
    case element_type::INT64:
      write_long(to, 1);
      write_long(to, int64_t(value));
      break;
    default:
      write_long(to, 1);
  }
}

static int json(const char *file, double seconds) {
  std::ifstream lines(file);
  std::vector<simdjson::padded_string> bodies;
  for (std::string line; std::getline(lines, line);) bodies.emplace_back(line);
  simdjson::dom::parser parser;
  std::string written;
  long callbacks = 0;
  size_t bytes = 0;
  double start = now(), before = cpu_us();
  while (now() < start + seconds) {
    for (auto &body : bodies) {
      written.clear();
      write(written, parser.parse(body));
      bytes += written.size();
      callbacks++;
    }
  }
  print(callbacks, now() - start, cpu_us() - before, bytes);
  return 0;
}

struct Record {
  std::string topic, key, value;
  std::vector<std::pair<std::string, std::string>> headers;
};

static std::string text(std::ifstream &in) {
  uint32_t size = 0;
  in.read(reinterpret_cast<char *>(&size), sizeof size);
  std::string read(size, 0);
  in.read(read.data(), size);
  return read;
}

static uint32_t number(std::ifstream &in) {
  uint32_t read = 0;
  in.read(reinterpret_cast<char *>(&read), sizeof read);
  return read;
}

static std::vector<std::vector<Record>> callbacks_of(const char *file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<std::vector<Record>> callbacks(number(in));
  for (auto &records : callbacks) {
    records.resize(number(in));
    for (auto &record : records) {
      record.topic = text(in), record.key = text(in), record.value = text(in);
      record.headers.resize(number(in));
      for (auto &header : record.headers) header.first = text(in), header.second = text(in);
    }
  }
  if (!in || callbacks.empty()) throw std::runtime_error("the file of records cannot be read");
  return callbacks;
}

static long done_callbacks = 0;

static void delivered(rd_kafka_t *, const rd_kafka_message_t *message, void *) {
  auto *left = static_cast<int *>(message->_private);
  if (message->err) throw std::runtime_error(rd_kafka_err2str(message->err));
  if (--*left == 0) {
    delete left;
    done_callbacks++;
  }
}

static void produce(rd_kafka_t *producer, const std::vector<Record> &records) {
  auto *left = new int(static_cast<int>(records.size()));
  for (auto &record : records) {
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record.headers.size());
    for (auto &[name, value] : record.headers)
      rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(), static_cast<ssize_t>(value.size()));
    rd_kafka_resp_err_t error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(record.topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(record.key.data(), record.key.size()),
        RD_KAFKA_V_VALUE(const_cast<char *>(record.value.data()), record.value.size()), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(left), RD_KAFKA_V_END);
    if (error) throw std::runtime_error(rd_kafka_err2str(error));
  }
}

static int kafka(const char *servers, const char *file, double seconds) {
  auto callbacks = callbacks_of(file);
  char error[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  const char *settings[][2] = {{"bootstrap.servers", servers}, {"acks", "all"}, {"enable.idempotence", "true"},
                               {"linger.ms", "2"}, {"partitioner", "murmur2_random"}};
  for (auto &[name, value] : settings)
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error)) throw std::runtime_error(error);
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  if (!producer) throw std::runtime_error(error);
  long sent = 0;
  auto send_until = [&](double end) {
    while (now() < end) {
      while (sent - done_callbacks < UNDER_WAY) produce(producer, callbacks[static_cast<size_t>(sent++) % callbacks.size()]);
      rd_kafka_poll(producer, 10);
    }
  };
  send_until(now() + 1);
  double start = now(), before = cpu_us();
  long first = done_callbacks;
  send_until(start + seconds);
  print(done_callbacks - first, now() - start, cpu_us() - before, 0);
  rd_kafka_flush(producer, 10000);
  rd_kafka_destroy(producer);
  return 0;
}

int main(int count, char **given) {
  try {
    if (count == 4 && !std::strcmp(given[1], "json")) return json(given[2], std::stod(given[3]));
    if (count == 5 && !std::strcmp(given[1], "kafka")) return kafka(given[2], given[3], std::stod(given[4]));
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::fprintf(stderr, "arguments: json FILE SECONDS, or kafka SERVERS FILE SECONDS\n");
  return 2;
}
