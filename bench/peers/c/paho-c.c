/* Paho C's asynchronous client, MQTT 3.1.1, with automatic reconnection, publications accepted
 * while there is no connection, and a session that the broker keeps. Its automatic reconnection
 * begins after the first connection; until then the program tries again each second. */

#include <MQTTAsync.h>
#include <string.h>

#include "common.h"

static MQTTAsync client;
static MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
static volatile bool established = false;
static volatile bool failed = false;

static void on_connected(void *context, char *cause) {
    (void)context, (void)cause;
    established = true;
    say("connected");
}

static void on_lost(void *context, char *cause) {
    (void)context;
    say("lost %s", cause == NULL ? "" : cause);
}

static void on_failure(void *context, MQTTAsync_failureData *data) {
    (void)context;
    say("lost %s", data == NULL || data->message == NULL ? "no connection" : data->message);
    failed = true;
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message) {
    (void)context, (void)length;
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void on_delivered(void *context, MQTTAsync_token token) {
    (void)context;
    acked(token);
}

/* The documentation has no repetition of a first attempt that failed. */
static void *connect_first(void *unused) {
    (void)unused;
    while (!established) {
        failed = false;
        if (MQTTAsync_connect(client, &options) != MQTTASYNC_SUCCESS) {
            failed = true;
        }
        while (!established && !failed) {
            usleep(1000);
        }
        if (failed) {
            sleep(RETRY_S);
        }
    }
    return NULL;
}

int main(int count, char **given) {
    struct args args = parse(count, given);
    const char *version = "";
    for (MQTTAsync_nameValue *entry = MQTTAsync_getVersionInfo(); entry->name != NULL; entry++) {
        if (strcmp(entry->name, "Version") == 0) {
            version = entry->value;
        }
    }
    say("ready %s", version);
    char uri[256];
    snprintf(uri, sizeof uri, "tcp://%s:%d", args.host, args.port);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.sendWhileDisconnected = 1;
    create.allowDisconnectedSendAtAnyTime = 1;
    create.maxBufferedMessages = ROOM;
    int code = MQTTAsync_createWithOptions(
        &client, uri, args.id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (code != MQTTASYNC_SUCCESS) {
        fprintf(stderr, "Paho C does not begin: %s\n", MQTTAsync_strerror(code));
        return 1;
    }
    MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, on_delivered);
    MQTTAsync_setConnected(client, NULL, on_connected);
    options.keepAliveInterval = KEEP_ALIVE_S;
    options.cleansession = 0;
    options.automaticReconnect = 1;
    options.onFailure = on_failure;
    pthread_t thread;
    if (pthread_create(&thread, NULL, connect_first, NULL) != 0) {
        fprintf(stderr, "no thread\n");
        return 1;
    }
    for (long number = 1; tick(&args, number); number++) {
        char payload[24];
        snprintf(payload, sizeof payload, "%ld", number);
        MQTTAsync_message message = MQTTAsync_message_initializer;
        MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
        message.payload = payload;
        message.payloadlen = (int)strlen(payload);
        message.qos = 1;
        code = MQTTAsync_sendMessage(client, TOPIC, &message, &response);
        if (code == MQTTASYNC_SUCCESS) {
            accepted(response.token, number);
        } else {
            say("refused %ld %s", number, MQTTAsync_strerror(code));
        }
    }
    return 0;
}
