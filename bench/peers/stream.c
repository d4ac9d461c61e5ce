/* The least that a check costs: one epoll loop that checks servers in turns, without deadlines, results or history.
 *
 *     stream tcp|http|https|idle FIRST-ADDRESS SERVERS PORT SECONDS
 *
 * Each of SERVERS addresses is checked every SECONDS until SIGTERM; "idle" connects once and holds the connections.
 * Checks are begun in batches, at most a hundred a second, as the engine does, and end by a reset.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum kind { TCP, HTTP, HTTPS, IDLE };
static const char *const names[] = {"tcp", "http", "https", "idle"};
static const char request[] = "GET /check HTTP/1.0\r\nHost: bench.example\r\nUser-Agent: c\r\n\r\n";
static const double tick = 0.01;

struct check {
    struct sockaddr_in server;
    int fd;
    int sent;
    SSL *tls;
};

static enum kind kind;
static int loop;
static SSL_CTX *context;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void finish(struct check *check, const char *trouble) {
    const struct linger reset = {1, 0};
    if (trouble != NULL)
        fprintf(stderr, "c: %s: %s\n", inet_ntoa(check->server.sin_addr), trouble);
    if (check->tls != NULL)
        SSL_free(check->tls);
    check->tls = NULL;
    setsockopt(check->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(check->fd);
    check->fd = -1;
}

static void begin(struct check *check) {
    const int off = 0;
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = check}};
    if (check->fd >= 0)
        return;
    check->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (check->fd < 0) {
        perror("c: socket");
        exit(1);
    }
    check->sent = 0;
    if (kind != IDLE)
        setsockopt(check->fd, IPPROTO_TCP, 12 /* TCP_QUICKACK */, &off, sizeof off);
    connect(check->fd, (struct sockaddr *)&check->server, sizeof check->server);
    epoll_ctl(loop, EPOLL_CTL_ADD, check->fd, &event);
    if (kind == HTTPS) {
        check->tls = SSL_new(context);
        SSL_set_fd(check->tls, check->fd);
        SSL_set_tlsext_host_name(check->tls, "bench.example");
        SSL_set_connect_state(check->tls);
    }
}

static const char *verdict(const char *answer, long length) {
    return length > 12 && memcmp(answer + 8, " 200", 4) == 0 ? NULL : "no HTTP 200";
}

static void secure(struct check *check) {
    char answer[4096];
    int length;
    if (!check->sent) {
        length = SSL_write(check->tls, request, sizeof request - 1);
        if (length <= 0) {
            if (SSL_get_error(check->tls, length) != SSL_ERROR_WANT_READ)
                finish(check, "no handshake");
            return;
        }
        check->sent = 1;
    }
    length = SSL_read(check->tls, answer, sizeof answer);
    if (length > 0)
        finish(check, verdict(answer, length));
    else if (SSL_get_error(check->tls, length) != SSL_ERROR_WANT_READ)
        finish(check, "no answer");
}

static void plain(struct check *check, unsigned events) {
    char answer[4096];
    if (!check->sent && (events & EPOLLOUT)) {
        if (send(check->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) {
            finish(check, "not sent");
            return;
        }
        check->sent = 1;
    }
    if (events & EPOLLIN) {
        const long length = recv(check->fd, answer, sizeof answer, 0);
        finish(check, verdict(answer, length));
    }
}

static void handle(struct check *check, unsigned events) {
    if (check->fd < 0)
        return;
    if (events & EPOLLERR)
        finish(check, "refused or reset");
    else if (kind == TCP)
        finish(check, NULL);
    else if (kind == HTTP)
        plain(check, events);
    else if (kind == HTTPS && (events & (EPOLLIN | EPOLLOUT)))
        secure(check);
}

int main(int count, char **arguments) {
    static struct epoll_event events[256];
    if (count != 6)
        return 2;
    while (strcmp(names[kind], arguments[1]) != 0)
        if (++kind > IDLE)
            return 2;
    const long servers = atol(arguments[3]);
    const double interval = atof(arguments[5]);
    struct check *checks = calloc(servers, sizeof *checks);
    for (long i = 0; i < servers; i++) {
        checks[i].server.sin_family = AF_INET;
        checks[i].server.sin_addr.s_addr = htonl(ntohl(inet_addr(arguments[2])) + i);
        checks[i].server.sin_port = htons(atoi(arguments[4]));
        checks[i].fd = -1;
    }
    loop = epoll_create1(EPOLL_CLOEXEC);
    context = SSL_CTX_new(TLS_client_method());
    const double started = now();
    for (long long begun = 0;;) {
        const double passed = now() - started;
        const long long due = (long long)(passed / interval * servers);
        /* What was missed for more than one interval is not made up for. */
        if (due - begun > servers)
            begun = due - servers;
        for (; begun < due && (kind != IDLE || begun < servers); begun++)
            begin(&checks[begun % servers]);
        double wait = kind == IDLE && begun >= servers ? 3600 : tick;
        if (kind != IDLE && servers / interval < 1600)
            wait = 16 * interval / servers < 0.1 ? 16 * interval / servers : 0.1;
        const double until = now() + wait;
        for (double left = wait; left > 0; left = until - now()) {
            const int ready = epoll_wait(loop, events, 256, (int)(left * 1000) + 1);
            for (int i = 0; i < ready; i++)
                handle(events[i].data.ptr, events[i].events);
        }
    }
}
