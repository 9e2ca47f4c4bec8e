import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/**
 * An origin with the HTTP server of the JDK that prints a line for each request whose body is
 * complete: {@code METHOD PATH BODY}, with unusual bytes as {@code \xHH} and {@code -} for no body.
 */
public class JdkOrigin {
    static String shown(byte[] body) {
        StringBuilder text = new StringBuilder();
        for (byte one : body) {
            boolean plain = one >= 0x20 && one < 0x7F && one != '"' && one != '\\';
            text.append(plain ? String.valueOf((char) one) : String.format("\\x%02X", one));
        }
        return body.length == 0 ? "-" : text.toString();
    }

    /** Listens on a free port and prints it. */
    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            String path = exchange.getRequestURI().toString();
            String line = exchange.getRequestMethod() + " " + path + " " + shown(body);
            synchronized (System.out) {
                System.out.println(line);
            }
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write("ok".getBytes());
            exchange.close();
        });
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
