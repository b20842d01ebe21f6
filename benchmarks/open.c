// Sends callbacks over HTTP at a fixed rate, whether answers come or not, and measures from when each should have been sent:
// a server that stalls is charged for all that had to wait (wrk leaves that out, since it waits with its next request).
// Arguments: port, path, template file, run, header's name and value, connections, callbacks/s, seconds. To 127.0.0.1 only.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 1024, MOST_TEMPLATES = 256, LARGEST = 1 << 20, ANSWER = 4096 };
static const double LAST_ANSWERS_SECONDS = 5;

typedef struct {
  int fd;
  double due;  // of the callback under way; 0: idle
  size_t read;
  char answer[ANSWER];
} Connection;

static Connection connections[MOST_CONNECTIONS];
static int idle[MOST_CONNECTIONS], idle_count;
static char *templates[MOST_TEMPLATES];
static int template_count;
static struct sockaddr_in address;
static const char *path, *run, *header_name, *header_value;
static long answers, refused, broken;
static float *latencies_ms;
static int poller;

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_templates(const char *name) {
  FILE *file = fopen(name, "r");
  char *line = NULL;
  size_t size = 0;
  ssize_t length;
  if (!file) die(name);
  while (template_count < MOST_TEMPLATES && (length = getline(&line, &size, file)) > 0) {
    line[length - 1] = 0;
    templates[template_count++] = strdup(line);
  }
  free(line);
  fclose(file);
  if (!template_count) die("no templates");
}

static void open_connection(int number) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)number};
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
  connections[number].fd = fd;
  connections[number].due = 0;
  connections[number].read = 0;
}

// The template's text with its placeholders filled, as load.lua fills them; returns the length.
static size_t fill(char *into, const char *template, long count) {
  char *to = into;
  while (*template) {
    if (!strncmp(template, "%ID%", 4)) {
      to += sprintf(to, "wamid.HBgM%s%02d%010ldFQIAEhggQUJDREVGR0hJSktMTU4A", run, 1, count);
      template += 4;
    } else if (!strncmp(template, "%NUMBER%", 8)) {
      to += sprintf(to, "39333%07ld", count * 7919 % 50000);
      template += 8;
    } else if (!strncmp(template, "%TIME%", 6)) {
      to += sprintf(to, "%ld", (long)time(NULL));
      template += 6;
    } else {
      *to++ = *template++;
    }
  }
  return (size_t)(to - into);
}

static void send_callback(int number, long count, double due) {
  static char body[LARGEST], request[LARGEST];
  size_t body_size = fill(body, templates[count % template_count], count);
  int head = sprintf(request,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
                     "Content-Type: application/json\r\n%s: %s\r\nContent-Length: %zu\r\n\r\n",
                     path, header_name, header_value, body_size);
  memcpy(request + head, body, body_size);
  // One callback is under way on a connection, and smaller than its buffer: all of it is taken at once.
  if (send(connections[number].fd, request, (size_t)head + body_size, MSG_NOSIGNAL) != (ssize_t)((size_t)head + body_size))
    broken++;
  connections[number].due = due;
  connections[number].read = 0;
}

// Take what has come; true when the answer is whole.
static int receive(Connection *one) {
  ssize_t got = read(one->fd, one->answer + one->read, ANSWER - 1 - one->read);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got <= 0) return -1;
  one->read += (size_t)got;
  one->answer[one->read] = 0;
  char *end = strstr(one->answer, "\r\n\r\n"), *length = strcasestr(one->answer, "\r\ncontent-length:");
  if (!end) return 0;
  size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
  return one->read >= (size_t)(end + 4 - one->answer) + body;
}

static void take(int number) {
  Connection *one = &connections[number];
  int whole = receive(one);
  if (!whole) return;
  if (whole < 0) {
    close(one->fd);
    if (one->due > 0) {
      broken++;
      idle[idle_count++] = number;
    }
    open_connection(number);
    return;
  }
  latencies_ms[answers++] = (float)((now() - one->due) * 1e3);
  if (strncmp(one->answer + 8, " 2", 2)) refused++;
  one->due = 0;
  idle[idle_count++] = number;
}

static int compare(const void *a, const void *b) {
  float left = *(const float *)a, right = *(const float *)b;
  return (left > right) - (left < right);
}

static double percentile(double share) { return answers ? latencies_ms[(long)((double)(answers - 1) * share)] : 0; }

int main(int count, char **given) {
  if (count != 10) {
    fprintf(stderr, "arguments: port, path, template file, run, header, value, connections, callbacks/s, seconds\n");
    return 2;
  }
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(given[1])),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  path = given[2], run = given[4], header_name = given[5], header_value = given[6];
  int wanted = atoi(given[7]);
  double rate = atof(given[8]), seconds = atof(given[9]);
  if (wanted < 1 || wanted > MOST_CONNECTIONS || rate <= 0 || seconds <= 0 || seconds > 3600) return 2;
  long total = (long)(rate * seconds), sent = 0;
  latencies_ms = calloc((size_t)total + 1, sizeof *latencies_ms);
  poller = epoll_create1(0);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event ticking = {.events = EPOLLIN, .data.u32 = MOST_CONNECTIONS};
  if (!latencies_ms || poller < 0 || timer < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, timer, &ticking) < 0) die("start");
  read_templates(given[3]);
  for (int number = 0; number < wanted; number++) {
    open_connection(number);
    idle[idle_count++] = number;
  }

  double start = now() + 0.05, end = start + seconds + LAST_ANSWERS_SECONDS;
  while (now() < end && answers + broken < total) {
    while (sent < total && idle_count && start + (double)sent / rate <= now()) {
      send_callback(idle[--idle_count], sent, start + (double)sent / rate);
      sent++;
    }
    double next = sent < total && idle_count ? start + (double)sent / rate : end;
    struct itimerspec alarm = {.it_value = {(time_t)next, (long)((next - (double)(time_t)next) * 1e9)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &alarm, NULL);
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, 1000);
    for (int i = 0; i < ready; i++) {
      unsigned long long ticks;
      if (events[i].data.u32 < MOST_CONNECTIONS) take((int)events[i].data.u32);
      else if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("timer");
    }
  }
  // What was due and is not answered by now.
  broken += total - answers - broken;
  qsort(latencies_ms, (size_t)answers, sizeof *latencies_ms, compare);
  printf("{\"answers\": %ld, \"refused\": %ld, \"broken\": %ld, \"seconds\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
         "\"p999_ms\": %.3f}\n",
         answers, refused, broken, seconds, percentile(0.5), percentile(0.99), percentile(0.999));
  return 0;
}
