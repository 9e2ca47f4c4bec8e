import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.concurrent.Executors;

/**
 * An origin with the HTTP server of the JDK that prints a line for each request whose body is
 * complete: {@code 200 METHOD PATH HEX}, with the body in hexadecimal digits.
 */
public class JdkOrigin {
    /** Listens on a free port and prints it. */
    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            String content = HexFormat.of().formatHex(exchange.getRequestBody().readAllBytes());
            String path = exchange.getRequestURI().toString();
            String line = "200 " + exchange.getRequestMethod() + " " + path + " " + content;
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
