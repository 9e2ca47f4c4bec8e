import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.apache.catalina.startup.Tomcat;

/**
 * An origin in Tomcat that prints a line for each request whose body is complete: {@code METHOD PATH
 * BODY}, with unusual bytes as {@code \xHH} and {@code -} for no body.
 */
public class RequestsOrigin extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        byte[] body = request.getInputStream().readAllBytes();
        String line = request.getMethod() + " " + request.getRequestURI() + " " + shown(body);
        synchronized (System.out) {
            System.out.println(line);
        }
        response.setContentLength(2);
        response.getOutputStream().write("ok".getBytes(StandardCharsets.UTF_8));
    }

    static String shown(byte[] body) {
        StringBuilder text = new StringBuilder();
        for (byte one : body) {
            boolean plain = one >= 0x20 && one < 0x7F && one != '"' && one != '\\';
            text.append(plain ? String.valueOf((char) one) : String.format("\\x%02X", one));
        }
        return body.length == 0 ? "-" : text.toString();
    }

    /** Listens on a free port and prints it. The argument is the folder for Tomcat's files. */
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        var context = tomcat.addContext("", Path.of(arguments[0]).toAbsolutePath().toString());
        Tomcat.addServlet(context, "requests", new RequestsOrigin());
        context.addServletMappingDecoded("/*", "requests");
        tomcat.start();
        System.out.println(tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }
}
